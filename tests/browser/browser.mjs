// Starts Chromium for one test, and says what is expected of a page.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** What the test was given. */
export const given = JSON.parse(process.argv[2] ?? "{}");

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Tells the test what was come to, and waits until it lets this script go on. */
export const tell = async (word) => {
  console.log(word);
  await lines.next();
};

/** Runs steps on a page in a browser without a history; a message of the page's console that tells an error fails it. */
export const browse = async (steps, options = {}) => {
  const folder = await mkdtemp(join(tmpdir(), "cairn-browser-"));
  const browser = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    viewport: { width: 1280, height: 900 },
    ...options.context,
  });
  const errors = [];
  try {
    const page = browser.pages()[0] ?? await browser.newPage();
    page.setDefaultTimeout(30_000);
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => {
      const text = message.text();
      if (message.type() === "error" && !options.ignores?.test(text)) errors.push(text);
    });
    page.on("dialog", (dialog) => { errors.push(`a dialog: ${dialog.message()}`); dialog.dismiss(); });
    await steps(page, browser);
    assert.deepEqual(errors, []);
  } finally {
    await browser.close();
    await rm(folder, { recursive: true, force: true });
  }
  console.log("done");
  process.exit(0);
};

export { assert };
