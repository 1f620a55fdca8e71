// How long a large X-ray takes over narrow links: node scripts/first-xray.mjs BASE_URL [MEGABITS...]
//
// Two DX studies are there: one fills the browser's cache with the viewer, the other is measured. From the question that
// begins the frame to the coarse picture and to the sharp one, and how many bytes had come by then. Prints a table. The
// round trip is 20 ms; the link is a relay of this machine (scripts/narrow.mjs), so nothing is said of loss or of slow
// computers.
import { launch } from './browser.mjs';
import { narrow } from './narrow.mjs';

const [base, ...links] = process.argv.slice(2);
const WAIT = 180000;
const ROUND_TRIP = 20;
/** ImageQualityStatus of a frame at full resolution in cornerstone3D. */
const SHARP = 8;
const { hostname, port } = new URL(base);
const series = await (await fetch(`${base}/dicom-web/series?Modality=DX`)).json();
const [study, other] = [...new Set(series.map(one => one['0020000D'].Value[0]))];

/** In the page: waits until the picture has the quality, 0 for any. */
const shows = quality => {
  const viewport = window.cornerstone?.getRenderingEngines()?.[0]?.getViewports()?.[0];
  const image = viewport?.csImage;
  return image && (image.imageQualityStatus ?? 0) >= quality ? performance.now() : 0;
};

async function open(browser, link) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const url = study => `${link.address}/viewer/viewer?StudyInstanceUIDs=${study}`;
  const frames = () => page.evaluate(() => performance.getEntriesByType('resource').filter(one => /\/frames\/1/.test(one.name))
    .map(one => ({ image: one.name.split('?')[0], begun: one.requestStart || one.startTime, bytes: one.encodedBodySize })));
  await page.goto(url(other));
  await page.waitForFunction(shows, SHARP, { timeout: WAIT, polling: 'raf' });
  await page.goto(url(study));
  await page.waitForFunction(study => location.search.includes(study), study);
  const coarse = await (await page.waitForFunction(shows, 0, { timeout: WAIT, polling: 'raf' })).jsonValue();
  const sharp = await (await page.waitForFunction(shows, SHARP, { timeout: WAIT, polling: 'raf' })).jsonValue();
  const all = await frames();
  const asked = all.filter(one => one.image === all[0].image);
  await context.close();
  const begun = Math.min(...asked.map(one => one.begun));
  return { coarse: coarse - begun, sharp: sharp - begun, first: asked[0].bytes, all: asked.reduce((sum, one) => sum + one.bytes, 0) };
}

// Made once before, so that every link finds it made; what that takes is stated.
const instance = (await (await fetch(`${base}/dicom-web/studies/${study}/instances`)).json())[0];
const path = ['0020000E', '00080018'].map(tag => instance[tag].Value[0]);
const begun = performance.now();
await (await fetch(`${base}/dicom-web/studies/${study}/series/${path[0]}/instances/${path[1]}/frames/1?accept=image/jphc;transfer-syntax=1.2.840.10008.1.2.4.202`)).arrayBuffer();
console.log(`The frame was made in ${Math.round(performance.now() - begun)} ms.\n`);
console.log('| link, Mbit/s | coarse picture, ms | after KiB | sharp picture, ms | after MiB |\n|---|---|---|---|---|');
for (const megabits of links.length ? links : ['10', '50']) {
  const link = await narrow(hostname, port, Number(megabits), ROUND_TRIP);
  const browser = await launch();
  const seen = await open(browser, link);
  console.log(`| ${megabits} | ${Math.round(seen.coarse)} | ${Math.round(seen.first / 1024)} | ${Math.round(seen.sharp)} | ${(seen.all / 1048576).toFixed(1)} |`);
  await browser.close();
  link.close();
}
process.exit(0);
