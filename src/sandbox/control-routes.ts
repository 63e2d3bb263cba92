/** The sandbox's own routes: for the command line and for people with curl. */
import { type Context, Hono } from "hono";
import { z } from "zod";
import { applyEdit, describeIssues, findAccount, findGroup, sandboxEditSchema } from "./edits.js";
import { faultKinds, parseFault } from "./faults.js";
import type { Emulator, ServiceName } from "./kit.js";
import type { Sandbox } from "./server.js";

/** What the routes show and change. */
export interface ControlAppOptions {
  readonly sandbox: Sandbox;
  readonly emulators: ReadonlyMap<ServiceName, Emulator>;
  /** The seed ids of the people. */
  readonly people: readonly string[];
}

const serviceSchema = z.enum(["neuroio", "brainstem", "docspace", "genesys", "scim"]);
const serviceBody = z.looseObject({ service: serviceSchema });
const answerBody = z.strictObject({
  answer: z.enum(["accept", "reject"]),
  group: z.string().min(1).exactOptional(),
  person: z.string().min(1).exactOptional(),
});
const expireBody = z.strictObject({ service: serviceSchema.exactOptional() });

/** The routes under `/_sandbox`, and the help page at `/`. */
export function createControlApp({ sandbox, emulators, people }: ControlAppOptions): Hono {
  const app = new Hono();

  function emulatorOf(name: ServiceName): Emulator {
    const emulator = emulators.get(name);
    if (!emulator)
      throw new Error(`This sandbox was started without ${name}. It has: ${[...emulators.keys()].join(", ")}.`);
    return emulator;
  }

  app.get("/", (context) => context.text(helpText(sandbox)));
  app.get("/_sandbox", (context) => context.text(helpText(sandbox)));
  app.get("/_sandbox/", (context) => context.text(helpText(sandbox)));

  app.get("/_sandbox/state", (context) => {
    const only = context.req.query("service");
    const shown = [...emulators.values()].filter(({ service }) => only === undefined || service === only);
    return context.json({
      url: sandbox.url,
      providers: sandbox.config(),
      services: Object.fromEntries(
        shown.map(({ service, control }) => [
          service,
          {
            url: sandbox.services[service].url,
            groups: control.groups(),
            accounts: Object.fromEntries(people.map((person) => [person, control.accountOf(person) ?? null])),
          },
        ]),
      ),
      faults: sandbox.faults(),
      requests: { logged: sandbox.log.length, dropped: sandbox.log.dropped },
    });
  });

  app.get("/_sandbox/faults", (context) => context.json({ faults: sandbox.faults() }));
  app.post("/_sandbox/faults", async (context) => {
    const faults = asList(await readJson(context)).map((fault) => parseFault(fault));
    return context.json({ ids: faults.map((fault) => sandbox.addFault(fault)) }, 201);
  });
  app.delete("/_sandbox/faults", (context) => {
    sandbox.clearFaults();
    return context.body(null, 204);
  });
  app.delete("/_sandbox/faults/:id", (context) => {
    const id = context.req.param("id");
    if (!sandbox.removeFault(id)) return context.json({ error: `There is no fault "${id}".` }, 404);
    return context.body(null, 204);
  });

  app.get("/_sandbox/log", (context) => context.json({ dropped: sandbox.log.dropped, requests: sandbox.log }));
  app.delete("/_sandbox/log", (context) => {
    sandbox.log.clear();
    return context.body(null, 204);
  });

  app.post("/_sandbox/edits", async (context) => {
    // All are read before the first takes place: a misspelt third edit leaves no half of a story behind.
    const edits = asList(await readJson(context)).map((value) => {
      const { service, ...edit } = parse(serviceBody, value);
      return { emulator: emulatorOf(service), edit: parse(sandboxEditSchema, edit) };
    });
    for (const { emulator, edit } of edits) applyEdit(emulator, edit);
    return context.json({ applied: edits.length });
  });

  app.post("/_sandbox/brainstem/answer-invitations", async (context) => {
    const { answer, group, person } = parse(answerBody, await readJson(context));
    const emulator = emulatorOf("brainstem");
    const answered = emulator.control.answerInvitations(answer, {
      ...(group !== undefined && { groupId: findGroup(emulator, group).id }),
      ...(person !== undefined && { account: findAccount(emulator, person) }),
    });
    return context.json({ answered });
  });

  app.post("/_sandbox/expire-tokens", async (context) => {
    const { service } = parse(expireBody, await readJson(context));
    const expired = service === undefined ? [...emulators.values()] : [emulatorOf(service)];
    for (const { control } of expired) control.expireTokens();
    return context.json({ expired: expired.map((emulator) => emulator.service) });
  });

  app.notFound((context) =>
    context.json(
      { error: `The sandbox has no ${context.req.method} ${context.req.path}. What it has: ${sandbox.url}/_sandbox` },
      404,
    ),
  );
  // Everything thrown here says what is wrong with the request.
  app.onError((error, context) => context.json({ error: error.message }, 400));
  return app;
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

/** The JSON body; an empty object when there is no body. */
async function readJson(context: Context): Promise<unknown> {
  const text = await context.req.text();
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error("The body is not JSON.", { cause });
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new Error(describeIssues(parsed.error));
  return parsed.data;
}

function helpText(sandbox: Sandbox): string {
  const at = `${sandbox.url}/_sandbox`;
  const services = Object.values(sandbox.services).map(({ url }) => `  ${url}`);
  return `The group-sync sandbox: emulated services, nothing real behind them.

Services, at the vendors' own paths:
${services.join("\n")}

For people with curl:
  GET    ${at}/state                 addresses and credentials, groups and members as they truly are (?service=docspace)
  GET    ${at}/log                   the requests so far; DELETE forgets them
  GET    ${at}/faults                the faults and how often each has struck; DELETE removes all, DELETE …/faults/<id> one
  POST   ${at}/faults                adds one or a list:
           curl -d '{"kind":"rate-limit","service":"genesys","when":"write","seconds":5}' ${at}/faults
  POST   ${at}/edits                 someone else's edit, one or a list:
           curl -d '{"service":"docspace","action":"remove-member","group":"On-call","person":"grace"}' ${at}/edits
         actions: add-member, remove-member, rename-group, delete-group, add-group, set-status
  POST   ${at}/brainstem/answer-invitations
           curl -d '{"answer":"accept"}' ${at}/brainstem/answer-invitations     ("group", "person" narrow it)
  POST   ${at}/expire-tokens         every token issued so far stops working ({"service":"genesys"} narrows it)

Kinds of fault: ${faultKinds.join(", ")}.
Each may have: service, method, path, when (read, write, login), skip, times (0 = always), every, probability.
`;
}
