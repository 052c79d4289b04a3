// From the first page to the reason why a flow failed, in three clicks.
import { assert, browse, given } from "./browser.mjs";

await browse(async (page) => {
  await page.goto(`${given.url}/ui`);
  // One: the flows that failed. Two: the flow. Three: the task.
  await page.locator("#counters").getByRole("link", { name: /failed/ }).click();
  await page.locator(`#rows a[href$="${given.id}"]`).click();
  assert.match(await page.locator("#head .reason").innerText(), /NameRefused/);
  await page.locator("#head .reason a").click();
  const task = page.locator("#task");
  assert.match(await task.innerText(), /Its call failed: NameRefused: .*refuses/);
  assert.match(await task.innerText(), /SHA-256/);
});
