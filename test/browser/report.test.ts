/**
 * The HTML page in a real browser: readable at every size, in light and dark, by keyboard and screen reader, silent on
 * the network, and deaf to whatever names say. SCREENSHOTS=<folder> keeps what it looked like.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { AxeResults } from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Change, HeldChange, Plan, ProviderPlan } from "../../src/model.js";
import { buildPlan } from "../../src/reconcile/plan.js";
import { renderHtml } from "../../src/report/html.js";
import { type DocumentView, viewPlan } from "../../src/report/model.js";

const executablePath = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const screenshots = process.env["SCREENSHOTS"];

const providers = ["faces", "lab", "docs", "calls"];
const calls = { read: 3, write: 2, retried: 0, throttledSeconds: 0 };

/** A plan of so many changes, spread unevenly over groups and providers as such things are. */
function planOf(size: number): Plan {
  const groups = Math.max(2, Math.round(Math.sqrt(size)));
  const parts = providers.map((id, part): ProviderPlan => {
    const changes: Change[] = [];
    const held: HeldChange[] = [];
    for (let index = part; index < size; index += providers.length) {
      const person = `person-${index % Math.max(3, Math.round(size / 3))}`;
      const group = `team-${Math.floor(((index / size) ** 2 * groups * 7) % groups)}`;
      const base = { group, groupId: "7", person, account: `${person}@example.org` };
      if (index % 50 === 0)
        changes.push({
          type: "group.create",
          group,
          name: `Team ${group}`,
          reason: "no group of this name exists there",
        });
      else if (index % 9 === 4)
        held.push({
          ...base,
          type: "member.remove",
          role: "member",
          guard: "max-removals",
          reason: "31 removals are 62 % of 50 members; the limit is 25 %.",
          wantedBecause: "not listed in the spec",
        });
      else if (index % 5 === 3)
        changes.push({ ...base, type: "member.remove", role: "member", reason: "not listed in the spec" });
      else if (index % 11 === 6)
        changes.push({
          ...base,
          type: "member.update",
          role: "manager",
          previousRole: "member",
          reason: "is member there, listed as manager",
        });
      else
        changes.push({ ...base, type: "member.add", role: "member", reason: "listed in the spec, not a member there" });
    }
    return {
      id,
      type: "memory",
      identity: `tenant of ${id}`,
      changes,
      held,
      unresolved:
        part === 1
          ? [{ person: "linus", state: "missing", reason: "no account for linus@example.org", groups: ["team-0"] }]
          : [],
      problems: [],
      groups: [],
      notes: part === 0 ? ["team-1: faces has no managers; ada is a plain member there"] : [],
      cost: { calls: Math.ceil(changes.length / 50), seconds: 3 },
      calls,
    };
  });
  return buildPlan(parts, { specDigest: "d", toolVersion: "1", now: new Date("2026-06-15T12:00:00Z") });
}

const history = Array.from({ length: 12 }, (_, index) => ({
  runId: `run-${index}`,
  startedAt: new Date(Date.UTC(2026, 5, 1 + index)).toISOString(),
  ...(index !== 7 && {
    summary: {
      applied: (index * 37) % 90,
      already: 0,
      pending: 2,
      held: index % 4 ? 0 : 12,
      skipped: 0,
      failed: index % 5 ? 0 : 4,
      unknown: 0,
    },
  }),
}));

const sizes = [10, 1000, 100_000];
const views = [
  { name: "phone", viewport: { width: 390, height: 844 }, isMobile: true, deviceScaleFactor: 2 },
  { name: "desktop", viewport: { width: 1280, height: 900 } },
] as const;
const schemes = ["light", "dark"] as const;

it.runIf(executablePath === undefined)("is not opened, as there is no Chromium here", () => {
  console.log(
    "test/browser: no Chromium here (apt-get install chromium, or CHROMIUM=<path>); the page was not opened.",
  );
  expect(executablePath).toBeUndefined();
});

describe.runIf(executablePath !== undefined)("the HTML page", () => {
  const folder = mkdtempSync(join(tmpdir(), "group-sync-page-"));
  const pages = new Map<string, string>();
  let browser: Browser;

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: executablePath ?? "", args: ["--no-sandbox"] });
    for (const size of sizes) save(`${size}`, viewPlan(planOf(size), { history }));
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function save(name: string, view: DocumentView): void {
    const file = join(folder, `${name}.html`);
    writeFileSync(file, renderHtml(view));
    pages.set(name, pathToFileURL(file).href);
  }

  interface Opened {
    readonly page: Page;
    /** Everything that should not happen: other requests, dialogs, errors, refused scripts and styles. */
    readonly incidents: readonly string[];
    readonly openMs: number;
  }

  async function open<T>(
    name: string,
    options: BrowserContextOptions,
    look: (opened: Opened) => Promise<T>,
  ): Promise<T> {
    const context = await browser.newContext({ reducedMotion: "reduce", ...options });
    const page = await context.newPage();
    const address = pages.get(name) ?? "";
    const incidents: string[] = [];
    page.on("request", (request) => {
      if (request.url() !== address) incidents.push(`request: ${request.url()}`);
    });
    page.on("dialog", (dialog) => {
      incidents.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("pageerror", (error) => incidents.push(`error: ${error.message}`));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") incidents.push(`console: ${message.text()}`);
    });
    const start = performance.now();
    await page.goto(address);
    await page.locator("#count").filter({ hasText: "line" }).waitFor();
    try {
      return await look({ page, incidents, openMs: performance.now() - start });
    } finally {
      await context.close();
    }
  }

  async function findBarriers(page: Page): Promise<readonly string[]> {
    await page.evaluate(axe);
    const results = (await page.evaluate("axe.run({ resultTypes: ['violations'] })")) as AxeResults;
    return results.violations.map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .slice(0, 3)
          .map(({ html }) => html)
          .join(" ")}`,
    );
  }

  const looks = sizes.flatMap((size) => views.flatMap((view) => schemes.map((scheme) => ({ size, view, scheme }))));
  it.each(looks)("with $size changes on a $view.name, $scheme", async ({ size, view, scheme }) => {
    const { name, ...device } = view;
    await open(`${size}`, { ...device, colorScheme: scheme }, async ({ page, incidents }) => {
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(device.viewport.width);
      expect(await page.locator("#count").textContent()).toContain(`${size.toLocaleString("en")} lines in `);
      expect(await findBarriers(page)).toEqual([]);
      if (screenshots !== undefined) {
        mkdirSync(screenshots, { recursive: true });
        await page.screenshot({ path: join(screenshots, `${size}-${name}-${scheme}.png`), fullPage: size <= 10 });
        await page.locator("#changes").scrollIntoViewIfNeeded();
        await page.locator("#list summary").first().click();
        await page.screenshot({ path: join(screenshots, `${size}-${name}-${scheme}-lines.png`) });
      }
      expect(incidents).toEqual([]);
    });
  });

  it("stays quick with 100,000 changes", async () => {
    await open("100000", views[1], async ({ page, openMs, incidents }) => {
      const timed = async (act: () => Promise<unknown>, result: RegExp) => {
        const start = performance.now();
        await act();
        await page.locator("#count").filter({ hasText: result }).waitFor();
        return performance.now() - start;
      };
      const searchMs = await timed(() => page.locator("#search").fill("person-12345"), /^3 lines in/);
      const personMs = await timed(() => page.locator("#view").selectOption("person"), / (person|people)$/);
      const clearMs = await timed(() => page.locator("#search").fill(""), /^100,000 lines/);
      const nodes = (await page.evaluate("document.querySelectorAll('*').length")) as number;
      console.log(
        `100,000 changes: open ${Math.round(openMs)} ms, search ${Math.round(searchMs)} ms, by person ${Math.round(personMs)} ms, all ${Math.round(clearMs)} ms, ${nodes} nodes`,
      );
      // Two cores that others use too: far from what would annoy anybody, near enough to catch drawing it all.
      expect(openMs).toBeLessThan(15_000);
      expect(Math.max(searchMs, personMs, clearMs)).toBeLessThan(5000);
      expect(nodes).toBeLessThan(3000);
      expect(incidents).toEqual([]);
    });
  });

  it("filters by what happens, by provider and by words, and tells how much is left", async () => {
    const plan = planOf(1000);
    const count = (wanted: (change: Change) => boolean) =>
      plan.providers.flatMap((part) => part.changes).filter(wanted).length;
    await open("1000", views[1], async ({ page }) => {
      const status = async () => Number((await page.locator("#count").textContent())?.split(" ")[0]?.replace(",", ""));
      await page.locator("#kind").selectOption("-");
      expect(await status()).toBe(count(({ type }) => type === "member.remove"));
      await page.locator("#kind").selectOption("held");
      expect(await status()).toBe(plan.summary.held);
      await page.locator("#kind").selectOption("");
      await page.locator("#provider").selectOption({ label: "docs" });
      expect(await status()).toBe((plan.providers[2]?.changes.length ?? 0) + (plan.providers[2]?.held.length ?? 0));
    });
  });

  it("tells a person's story when their name is followed, and a group's at every provider", async () => {
    await open("10", views[1], async ({ page }) => {
      const name = page.locator("button.who").first();
      const who = (await name.textContent()) ?? "";
      await name.click();
      expect(await page.locator("#view").inputValue()).toBe("person");
      expect(await page.locator("#list summary b").allTextContents()).toEqual([who]);
      expect(await page.locator("#count").textContent()).toMatch(/^\d+ lines? in 1 person$/);
      expect(await page.locator("#search").inputValue()).toBe(who);
    });
  });

  it("works by keyboard alone, and the focus is not lost when more is shown", async () => {
    await open("100000", views[1], async ({ page }) => {
      const focused = () =>
        page.evaluate("document.activeElement.id || document.activeElement.tagName") as Promise<string>;
      await page.locator("#search").focus();
      for (const next of ["kind", "provider", "view"]) {
        await page.keyboard.press("Tab");
        expect(await focused()).toBe(next);
      }
      await page.keyboard.press("Tab");
      expect(await focused()).toBe("SUMMARY");
      await page.keyboard.press("Enter");
      const section = page.locator("#list details").first();
      expect(await section.getAttribute("open")).not.toBeNull();
      const before = await section.locator("li").count();
      const more = section.locator("button.more");
      await more.focus();
      await page.keyboard.press("Enter");
      expect(await section.locator("li").count()).toBeGreaterThan(before);
      expect(await focused()).toBe("BUTTON");
    });
  });

  it("prints every line of a plan that fits on paper", async () => {
    await open("1000", views[1], async ({ page }) => {
      await page.emulateMedia({ media: "print" });
      await page.evaluate("dispatchEvent(new Event('beforeprint'))");
      expect(await page.locator("#list li .sign").count()).toBe(1000);
      expect(await page.locator(".controls").isVisible()).toBe(false);
    });
  });

  const hostile = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]><svg onload=alert(1)>",
    "</title><body onload=alert(1)>",
    `"'\`><a href=javascript:alert(1)>`,
    "</style><style>*{display:none}",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "\\u003cimg src=x onerror=alert(1)\\u003e",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "__proto__",
    "constructor",
    "\u202egnp.exe",
    "a\u0000b\u2028c\u0007d",
    "🏳️‍🌈 Zoë 中文",
    "https://evil.example/?q=<script src=//evil.example/x.js></script>",
    '=HYPERLINK("https://evil.example")',
    "x".repeat(5000),
  ];

  it("shows hostile names as they are, everywhere, and runs none of them", async () => {
    const base = { id: "p", type: "memory", problems: [], groups: [], cost: { calls: 1, seconds: 1 }, calls };
    const part = (text: string): ProviderPlan => ({
      ...base,
      id: text,
      identity: text,
      changes: [{ type: "member.add", group: text, person: text, account: text, role: "member", reason: text }],
      held: [
        { type: "member.remove", group: text, account: text, guard: "adoption", reason: text, wantedBecause: text },
      ],
      unresolved: [{ person: text, state: "missing", reason: text, groups: [text] }],
      notes: [text],
      error: { code: "network", message: text },
    });
    const plan = buildPlan(hostile.map(part), { specDigest: "d", toolVersion: "1", now: new Date() });
    save("hostile", {
      ...viewPlan(
        { ...plan, planId: hostile.join(" ") },
        { history: hostile.map((runId) => ({ runId, startedAt: "2026-01-01" })) },
      ),
      closing: hostile,
    });
    await open("hostile", views[0], async ({ page, incidents }) => {
      const visible = hostile.map((name) => name.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, "�"));
      const groups = await page.locator("#list summary b").allTextContents();
      expect(groups).toEqual(visible);
      for (const by of ["person", "group"]) {
        await page.locator("#view").selectOption(by);
        for (const name of visible.filter((each) => each.length < 1000)) {
          await page.locator("#search").fill(name);
          await page.locator("#list summary b").filter({ hasText: name }).first().waitFor();
        }
        await page.locator("#search").fill("");
      }
      const elements = (await page.evaluate(
        "document.querySelectorAll('img, iframe, object, embed, link, a, style ~ style, script:not([id]) ~ script').length",
      )) as number;
      expect(elements).toBe(0);
      expect(await page.evaluate("document.querySelectorAll('script').length")).toBe(2);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(views[0].viewport.width);
      expect(incidents).toEqual([]);
    });
  });

  it("says so where scripts are switched off, and still shows the numbers and the picture", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(pages.get("10") ?? "");
    expect(await page.locator("noscript").textContent()).toContain("switched off");
    expect(await page.locator("svg rect.add").count()).toBeGreaterThan(0);
    expect(await page.locator("#providers ~ div table").isVisible()).toBe(true);
    await context.close();
  });
});
