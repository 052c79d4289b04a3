// Opens a flow of many events; the shortest of three times counts, because other tests run beside this one.
import { assert, browse, given } from "./browser.mjs";

await browse(async (page) => {
  const times = [];
  for (let turn = 0; turn < 3; turn += 1) {
    await page.goto(`${given.url}/ui/flows/${given.id}`);
    times.push(await page.evaluate(() => performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd));
  }
  assert.ok(Math.min(...times) < 1000, `it takes ${times} ms`);
  assert.match(await page.locator("#events caption").innerText(), /^20\u00a00\d\d events/);
  assert.equal(await page.locator("#events tbody tr").count(), 200);
  await page.getByRole("link", { name: "Older events" }).click();
  await page.waitForURL(/before=/);
  assert.equal(await page.locator("#events tbody tr").count(), 200);
});
