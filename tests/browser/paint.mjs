// Measures when a browser paints the list of flows for the first time; says the milliseconds of several turns.
import { browse, given } from "./browser.mjs";

await browse(async (page, browser) => {
  const times = [];
  for (let turn = 0; turn < 9; turn += 1) {
    const tab = await browser.newPage();
    await tab.goto(`${given.url}/ui/flows`);
    await tab.locator("#rows tbody tr").first().waitFor();
    times.push(await tab.evaluate(() => new Promise((found) => {
      new PerformanceObserver((list) => {
        const paint = list.getEntriesByName("first-contentful-paint")[0];
        if (paint) found(Math.round(paint.startTime * 10) / 10);
      }).observe({ type: "paint", buffered: true });
    })));
    await tab.close();
  }
  console.log(JSON.stringify(times));
});
