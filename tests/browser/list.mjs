// A list that is open while flows begin and end.
import { assert, browse, given } from "./browser.mjs";

const post = (path, body) => fetch(given.url + path, {
  method: "POST",
  headers: { "content-type": "application/json", prefer: "wait=10" },
  body: JSON.stringify(body),
});

await browse(async (page) => {
  await page.goto(`${given.url}/ui/flows`);
  await page.locator("#live[data-state=connected]").waitFor();
  const row = page.locator(`tr[id="f-${given.waits}"]`);
  await row.getByText("waiting").waitFor();
  const before = await page.locator("#rows tbody tr").count();
  for (const name of ["Ben", "Cyd", "Dan"]) {
    await post("/v1/flows", { flow: "greet", request: { name } });
  }
  await page.locator("#newer").getByText("3 new").waitFor();
  assert.equal(await page.locator("#rows tbody tr").count(), before, "the rows stay where they are");

  await post(`/v1/flows/${given.waits}/signal`, { name: "approved", payload: {} });
  await row.getByText("succeeded").waitFor();

  await page.locator("#newer a").click();
  await page.waitForFunction((rows) => document.querySelectorAll("#rows tbody tr").length === rows, before + 3);
  assert.ok(await page.locator("#newer").isHidden());
  await page.locator("#counters").getByText("4").first().waitFor();
});
