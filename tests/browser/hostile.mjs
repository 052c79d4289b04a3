// A flow whose names, values and errors are markup.
import { assert, browse, given } from "./browser.mjs";

await browse(async (page) => {
  for (const path of [`/ui/flows/${given.id}`, "/ui", "/ui/flows", "/ui/records", "/ui/audit"]) {
    await page.goto(given.url + path);
    await page.locator("#live[data-state=connected], main:not([data-live])").first().waitFor({ state: "attached" });
    assert.doesNotMatch(await page.title(), /owned/);
    assert.equal(await page.locator("main img, main script").count(), 0, path);
  }
  await page.goto(`${given.url}/ui/flows/${given.id}`);
  const request = await page.locator("#request").innerText();
  assert.match(request, /<script>/, "it is shown as text");
  assert.match(request, /\\u\{202e\}/, "what turns text around is visible");
});
