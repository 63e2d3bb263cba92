/** Made-up organisations: the same for the same seed, on every machine. */

/** Whole numbers below a limit, from a fixed seed (mulberry32). */
type Dice = (below: number) => number;

/** Makes dice. */
function createDice(seed: number): Dice {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** Who is in which group. */
export type Memberships = ReadonlyMap<string, readonly string[]>;

/** Names of people: `p00000` and on. */
export function namePeople(size: number): readonly string[] {
  return Array.from({ length: size }, (_, index) => `p${String(index).padStart(5, "0")}`);
}

/**
 * An organisation of 10,000 people has 12 sites, 24 departments of different sizes with 10 roles each out of 40, three
 * shifts and 60 other groups; a smaller one has the same of everything, so that the same numbers mean less. Half of
 * the people work at one of the three main sites of their department, the others anywhere. Each is in a group for the
 * site, the department, the role, the role within the department, and the shift, and in up to three others.
 */
export function createOrganisation(size: number, seed: number): Memberships {
  const dice = createDice(seed);
  /** The first of `below` are several times as frequent as the last. */
  const skewed = (below: number) => Math.floor(below * (dice(1_000_000) / 1_000_000) ** 1.6);
  const [sites, departments, roles] = [12, 24, 40];
  const rolesOf = Array.from({ length: departments }, () => Array.from({ length: 10 }, () => dice(roles)));
  const sitesOf = Array.from({ length: departments }, () => Array.from({ length: 3 }, () => dice(sites)));
  const groups = new Map<string, string[]>();
  for (const person of namePeople(size)) {
    const department = skewed(departments);
    const role = rolesOf[department]?.[skewed(10)] ?? 0;
    const site = dice(2) === 0 ? (sitesOf[department]?.[dice(3)] ?? 0) : dice(sites);
    const others = Array.from({ length: skewed(4) }, () => `other ${skewed(60)}`);
    const own = [
      `site ${site}`,
      `department ${department}`,
      `role ${role}`,
      `role ${role} of department ${department}`,
      `shift ${dice(3)}`,
    ];
    for (const group of new Set([...own, ...others])) {
      const members = groups.get(group);
      if (members) members.push(person);
      else groups.set(group, [person]);
    }
  }
  return groups;
}

/** Everybody in the same groups. */
export function createCrowd(size: number, groupCount: number): Memberships {
  const people = namePeople(size);
  return new Map(Array.from({ length: groupCount }, (_, index) => [`group ${index}`, people] as const));
}

/** Memberships without any order in them: about `count` of them. */
export function createRandom(size: number, groupCount: number, count: number, seed: number): Memberships {
  const dice = createDice(seed);
  const people = namePeople(size);
  const groups = Array.from({ length: groupCount }, () => new Set<string>());
  for (let made = 0; made < count; made++) groups[dice(groupCount)]?.add(people[dice(size)] ?? "");
  return new Map(groups.map((members, index) => [`group ${index}`, [...members]] as const));
}

/** A share of the memberships, drawn one by one: what is missing after some time. */
export function drawShare(memberships: Memberships, percent: number, seed: number): Memberships {
  const dice = createDice(seed);
  return new Map(
    [...memberships]
      .map(([group, people]) => [group, people.filter(() => dice(100) < percent)] as const)
      .filter(([, people]) => people.length > 0),
  );
}

/** All (person, group) pairs. */
export function pairsOf(memberships: Memberships): readonly (readonly [string, string])[] {
  return [...memberships].flatMap(([group, people]) => people.map((person) => [person, group] as const));
}

/** What going group by group takes. */
export function countChunks(memberships: Memberships, size: number): number {
  return [...memberships.values()].reduce((sum, people) => sum + Math.ceil(people.length / size), 0);
}
