// Finds a flow and rolls it back without a pointer.
import { assert, browse, given } from "./browser.mjs";

await browse(async (page) => {
  const focused = () => page.evaluate(() => {
    const at = document.activeElement;
    return at.closest("summary, a, button, textarea, input")?.textContent.trim() || at.name || at.tagName;
  });
  // Goes on with Tab until something with these words has the focus, which must be seen.
  const tabTo = async (words) => {
    for (let step = 0; step < 80; step += 1) {
      await page.keyboard.press("Tab");
      if (words.test(await focused())) {
        const seen = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
        assert.notEqual(seen, "none", "the focus is seen");
        return;
      }
    }
    assert.fail(`nothing with the words ${words} gets the focus`);
  };

  await page.goto(`${given.url}/ui/flows`);
  await page.keyboard.press("?");
  assert.ok(await page.locator("#keys").evaluate((keys) => keys.open), "? shows the keys");
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  assert.equal(await focused(), "name", "/ goes to the filter");
  await page.keyboard.type("greet");
  await page.keyboard.press("Enter");
  await page.waitForURL(/name=greet/);
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(given.id));

  await tabTo(/^Roll back/);
  await page.keyboard.press("Enter");
  await tabTo(/^reason$/);
  await page.keyboard.type("nobody is greeted");
  await tabTo(/^Roll this flow back$/);
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#head").innerText.includes("clean: everything is as it was"));
  assert.match(await page.locator("#head").innerText(), /nobody is greeted/);
  assert.equal(await page.locator(".action").count(), 0);
});
