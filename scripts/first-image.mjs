// How long a person waits for the first picture: node scripts/first-image.mjs BASE_URL [TIMES]
//
// From the click in the viewer's study list to the first picture and to the last slice, by the browser's own clock: cold
// (a new profile, nothing cached) and warm (the same profile again). Prints a table of medians. The study with
// the most images is taken; nothing is said of other links than this machine's loopback, nor of other machines' graphics.
import { launch } from './browser.mjs';

const [base, times = '3'] = process.argv.slice(2);
const WAIT = 120000;
const ALL_SLICES = 600000;
const images = study => Number(study['00201208']?.Value?.[0] ?? 0);
const studies = await (await fetch(`${base}/dicom-web/studies?includefield=00201208`)).json();
const study = studies.sort((a, b) => images(b) - images(a))[0];
// The series that is shown first is the one that is fetched ahead.
const series = await (await fetch(`${base}/dicom-web/studies/${study['0020000D'].Value[0]}/series?includefield=00201209`)).json();
const number = (one, tag) => Number(one[tag]?.Value?.[0] ?? 0);
const slices = number(series.sort((a, b) => number(a, '00200011') - number(b, '00200011'))[0], '00201209');
const patient = study['00100020'].Value[0];

/** In the page: notes when a canvas first shows a picture, seen from frame to frame. */
function watch() {
  const small = new OffscreenCanvas(32, 32).getContext('2d', { willReadFrequently: true });
  const shows = canvas => {
    if (canvas.width < 200 || canvas.height < 200) return false;
    small.clearRect(0, 0, 32, 32);
    small.drawImage(canvas, 0, 0, 32, 32);
    return new Set(small.getImageData(0, 0, 32, 32).data.filter((_, at) => at % 4 === 0)).size > 8;
  };
  window.khoanh = { begun: performance.now() };
  const look = () => {
    if ([...document.querySelectorAll('canvas')].some(shows)) window.khoanh.first = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

async function open(page) {
  let frames = 0;
  const count = response => { frames += /\/frames\/\d+$/.test(response.url()) && response.ok() ? 1 : 0; };
  await page.goto(`${base}/viewer/?mrn=${encodeURIComponent(patient)}`);
  // The first row is the filters.
  const row = page.locator('table tbody tr').last();
  await row.waitFor({ timeout: WAIT });
  await page.waitForLoadState('networkidle');
  page.on('response', count);
  await page.evaluate(watch);
  await row.dblclick();
  const first = await (await page.waitForFunction(() => window.khoanh?.first && window.khoanh.first - window.khoanh.begun, null, { timeout: WAIT })).jsonValue();
  const deadline = Date.now() + ALL_SLICES;
  while (frames < slices && Date.now() < deadline) await page.waitForTimeout(20);
  if (frames < slices) throw new Error(`${frames} of ${slices} slices came`);
  const last = await page.evaluate(() => performance.now() - window.khoanh.begun);
  page.off('response', count);
  return [first, last];
}

const median = values => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const seen = { cold: [], warm: [] };
for (let turn = 0; turn < Number(times); turn += 1) {
  const browser = await launch();
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  seen.cold.push(await open(page));
  seen.warm.push(await open(page));
  await browser.close();
}
console.log(`| ${slices} slices, ${times} times, medians | first picture, ms | last slice, ms |\n|---|---|---|`);
for (const [name, all] of Object.entries(seen)) {
  console.log(`| ${name} | ${Math.round(median(all.map(one => one[0])))} | ${Math.round(median(all.map(one => one[1])))} |`);
}
