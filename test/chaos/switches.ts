/**
 * How the services behave where their documents leave it open (§10 of the provider sheets): values which an adapter
 * promises to live with, and values under which it cannot converge but has to stay safe and say the truth.
 */
import type { Dice, Service } from "./scenario.js";

export type Switches = Readonly<Record<string, string | number>>;
type Table = Readonly<Record<string, readonly (string | number)[]>>;

const LAGS = [0, 30, 120];

const survivable: Readonly<Record<Service, Table>> = {
  neuroio: {
    duplicateAdd: ["ignore", "400", "404"],
    absentRemove: ["ignore", "400", "404"],
    unknownPid: ["ignore", "400", "404"],
    unknownGroup: ["ignore", "400", "404"],
    partialApply: ["off", "on"],
    writeBody: ["empty", "{}"],
    overLimit: ["400", "truncate"],
    maxLimit: [100, 20, 37],
    overMaxLimit: ["400", "clamp"],
    envelope: ["count+results", "results", "array", "count+next+previous+results"],
    order: ["ascending", "shuffled"],
    uniqueNames: ["off", "400"],
    retryAfter: ["on", "off"],
    lag: LAGS,
    deletePersonDropsMembership: ["on", "off"],
    slash: ["404", "307", "accept"],
    authFailure: ["401", "403odd"],
    managerToken: ["403", "401"],
    personsCount: ["on", "off"],
    maxGroups: ["off", 1, 2],
  },
  brainstem: {
    groupApp: ["both", "users", "auth"],
    inviteSpelling: ["both", "joined", "underscore"],
    unknownEmail: ["400", "ignore", "invite"],
    reinvite: ["noop200", "400", "duplicateRow"],
    removeAbsent: ["ignore", "400"],
    badEntry: ["rejectAll", "applyOthers"],
    lastOwner: ["400", "allow"],
    emailCase: ["insensitive", "sensitive"],
    ownerImpliesManager: ["off", "on"],
    removeCancelsInvite: ["off", "on"],
    keepClosedInvites: ["off", "on"],
    inviteScope: ["managed+own", "all"],
    actionBody: ["empty", "{}"],
    meta: ["on", "off"],
    count: ["off", "on"],
    paging: ["both", "limitOffset", "pageOnly"],
    order: ["id", "shuffled"],
    uniqueNames: ["400", "off"],
    tokenScheme: ["bearer", "both"],
    slash: ["optional", "required"],
    lag: LAGS,
    staff: ["none", "everyGroup"],
  },
  docspace: {
    authBody: ["empty", "problem", "error"],
    validationBody: ["envelope", "plain"],
    guidForms: ["strict", "lenient"],
    includeMembersDefault: ["true", "false"],
    nullMembers: ["500", "200"],
    lag: LAGS,
    pageDrift: ["off", "on"],
    retryAfter: ["none", "daily", "always"],
    emptyName: ["accept", "400"],
    managerBefore403: ["off", "on"],
    systemGroupWrites: ["accept", "403"],
    emailCase: ["insensitive", "sensitive"],
    compat: ["3.7", "3.6", "3.1"],
    delay: [0, 15],
  },
  genesys: {
    missingVersion: ["accept", "400"],
    mismatch: ["409", "400text", "408"],
    overCap: ["400", "truncate"],
    lag: LAGS,
    badId: ["ignore", "400", "404"],
    removeDerived: ["ignore", "removes"],
    pageOver: ["400", "clamp"],
    deleteConflict: ["off", "on"],
    writePermission: ["403", "allowed"],
    searchStates: ["active", "all"],
    searchLag: [0, 60],
    searchCase: ["insensitive", "sensitive"],
    // Two states are asked for in one criterion; nothing less than two would be a list.
    searchValues: ["off", 2, 10],
    authCode: ["bad.credentials", "authentication.required"],
    wrongSecret: ["400", "401"],
    voidStatus: ["200", "204"],
    uniqueNames: ["off", "400", "409"],
    creatorOwner: ["none", "client"],
    pageDrift: ["off", "on"],
    groupCap: ["400", "ignore"],
    versionStep: [1, 7],
    listInactive: ["on", "off"],
  },
};

const hostile: Readonly<Record<Service, readonly Switches[]>> = {
  neuroio: [{ rateLimit: 8 }, { rateLimit: 25, retryAfter: "off" }, { maxLimit: 3, overMaxLimit: "400" }],
  brainstem: [{ rateLimit: 8 }, { rateLimit: 25 }, { meta: "never" }, { listScope: "mine" }],
  docspace: [
    { rateLimit: 8 },
    { rateLimit: 25, retryAfter: "always" },
    { failAfter: 1 },
    { failAfter: 3 },
    { doubleManager: "403" },
    { portal: "404" },
    { portal: "402" },
    { portal: "403" },
    { portal: "502html" },
  ],
  genesys: [
    { rateLimit: 8 },
    { rateLimit: 25, retryAfter: 1 },
    { lost202: "on" },
    { individuals: "truncated" },
    { individuals: "bare" },
    { dynamic404: "off" },
  ],
};

/** The table of switches that scenarios draw from, for the test that compares it with the emulators' own. */
export function namedSwitches(service: Service): readonly string[] {
  return [...new Set([...Object.keys(survivable[service]), ...hostile[service].flatMap((each) => Object.keys(each))])];
}

export function pickSwitches(dice: Dice, service: Service): Switches {
  const calm = dice.chance(0.35);
  return Object.fromEntries(
    Object.entries(survivable[service]).flatMap(([name, values]) =>
      calm || dice.chance(0.6) ? [] : [[name, dice.pick(values)]],
    ),
  );
}

export function pickHostility(dice: Dice, service: Service): Switches {
  return dice.pick(hostile[service]);
}
