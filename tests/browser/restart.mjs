// A page that is open while its server is killed and started again.
import { assert, browse, given, tell } from "./browser.mjs";

await browse(async (page) => {
  const light = (state) => page.waitForFunction((state) => document.getElementById("live").dataset.state === state, state);
  const events = () => page.locator("#events tbody tr").count();
  await page.goto(`${given.url}/ui/flows/${given.id}`);
  await light("connected");
  await page.locator("#head .state.waiting").waitFor();
  const before = await events();
  await tell("live");

  await light("lost");
  await page.locator("#gone").waitFor({ state: "visible" });
  assert.match(await page.locator("#live").innerText(), /lost for \d+ s/);
  assert.equal(await events(), before, "what was known stays");
  await tell("lost");

  await light("connected");
  await page.locator("#gone").waitFor({ state: "hidden" });
  await tell("back");

  await page.waitForFunction(() => document.querySelector("#head").innerText.includes("every task succeeded"));
  await page.waitForFunction((before) => document.querySelectorAll("#events tbody tr").length > before, before);
  const numbers = await page.locator("#events tbody tr td:first-child").allInnerTexts();
  assert.equal(new Set(numbers).size, numbers.length, "no row is there twice");
  assert.deepEqual(numbers.map(Number), numbers.map((_, at) => numbers.length - at), "and none is missing");
}, { ignores: /Failed to load resource|ERR_|net::/ });
