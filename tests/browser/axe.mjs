// Every page against the rules of axe, in light and in dark, on a screen and on a phone.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { assert, browse, given } from "./browser.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PAGES = [
  "/ui", "/ui/flows", `/ui/flows/${given.failed}?task=goodbye%3Bgreet`, `/ui/flows/${given.failed}`, `/ui/flows/${given.waits}`,
  "/ui/deployed", "/ui/deployed/greet/1", given.wit, "/ui/volumes", "/ui/records", "/ui/externals", "/ui/quotas", "/ui/system",
  "/ui/outbox", "/ui/audit", "/ui/find?q=nothing-of-this-name",
];

await browse(async (page) => {
  const told = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const width of [1280, 375]) {
      await page.setViewportSize({ width, height: 800 });
      for (const path of PAGES) {
        await page.goto(given.url + path);
        // A page may load nothing of others, so the rules come by the protocol of the browser's tools.
        await page.evaluate(axe);
        // Also the forms that are closed at first.
        await page.evaluate(() => {
          for (const details of document.querySelectorAll("details")) {
            details.removeAttribute("name");
            details.open = true;
          }
        });
        const { violations } = await page.evaluate(() => axe.run());
        for (const { id, help, nodes } of violations) {
          const where = nodes.slice(0, 3).map((node) => node.html).join(" | ");
          told.push(`${path}, ${colorScheme}, ${width} px: ${id}: ${help}: ${where}`);
        }
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (over > 0) told.push(`${path} is ${over} px wider than ${width} px`);
      }
    }
  }
  assert.deepEqual(told, []);
});
