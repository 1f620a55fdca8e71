// Opens every page in headless Chromium, counts requests that fail, and takes screenshots:
//   [LOOK_DESK=BASE_URL LOOK_HL7=ADDRESS] node scripts/look.mjs BASE_URL OUT_FOLDER [NAME...]
//
// The server at BASE_URL holds the shared test data, that of LOOK_DESK is empty and is filled by look-desk.mjs for the
// pages of stewards and patients; `scripts/look` starts both. A page fails by a request that fails, by not getting there
// in time, and by a picture that shows next to nothing; a page of our own also by an error in the console and by what is
// wider than the screen.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { desk } from './look-desk.mjs';

const [base, out, ...only] = process.argv.slice(2);
const WAIT = 60000;
/** Different values of red in a picture's middle below which nothing was drawn; a page of text has a few. */
const DRAWN = 6;
/** Coloured pixels that a page has at least: areas of a segmentation over its grey CT, the flow of an ultrasound. */
const COLOURED = new Map([['viewer-seg-ct', 5000], ['viewer-us', 500]]);

mkdirSync(out, { recursive: true });
const browser = await launch();
const judge = await (await browser.newContext()).newPage();

const studies = await (await fetch(`${base}/dicom-web/studies?limit=500&includefield=all`)).json();
const series = await (await fetch(`${base}/dicom-web/series?limit=2000&includefield=all`)).json();
const value = (row, tag) => row[tag]?.Value?.[0];

/** The study of the first series that a test accepts. */
function studyOf(test) {
  const found = series.find(test);
  return found && value(found, '0020000D');
}

/** Does a job on a page of its own; `own` is a page of ours, `status` an answer of 400 or more that it is to show. */
async function page(size, work, name, { own = false, status = 0 } = {}) {
  const context = await browser.newContext({ viewport: size, locale: name.endsWith('-en') ? 'en-US' : 'vi-VN', deviceScaleFactor: 1 });
  const page = await context.newPage();
  const failed = [];
  const said = [];
  page.on('requestfailed', one => { if (!/ERR_ABORTED/.test(one.failure()?.errorText || '')) failed.push(`${one.failure()?.errorText} ${one.url()}`); });
  page.on('response', one => { if (one.status() >= 400 && one.status() !== status) failed.push(`${one.status()} ${one.url()}`); });
  page.on('console', one => { if (one.type() === 'error' && !(status && one.text().includes(`status of ${status}`))) said.push(one.text().slice(0, 300)); });
  page.on('pageerror', error => said.push(`page: ${String(error).slice(0, 300)}`));
  const started = Date.now();
  let note = '';
  try {
    note = (await work(page)) || '';
  } catch (error) {
    failed.push(`!! ${String(error).split('\n')[0]}`);
  }
  if (own) {
    const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    if (wide > seen) failed.push(`!! ${wide} pixels wide on a screen of ${seen}`);
    failed.push(...said.splice(0).map(one => `(console) ${one}`));
  }
  const { levels, colour } = await drawn(await page.screenshot({ path: join(out, `${name}.png`), fullPage: own }));
  if (levels < DRAWN) failed.push(`!! only ${levels} levels: next to nothing is drawn`);
  if (COLOURED.has(name) && colour < COLOURED.get(name)) failed.push(`!! only ${colour} coloured pixels`);
  console.log(`${name}: ${Date.now() - started} ms, ${failed.length} faults, ${levels} levels ${note}`);
  for (const one of failed.slice(0, 8)) console.log(`   ${one}`);
  for (const one of said.slice(0, 4)) console.log(`   (console) ${one}`);
  await context.close();
  return failed.length;
}

const desktop = { width: 1280, height: 800 };
const phone = { width: 390, height: 844 };

async function start(page) {
  await page.goto(`${base}/`);
  await page.waitForSelector('.study', { timeout: WAIT });
  await page.waitForLoadState('networkidle');
  return `${await page.locator('.study').count()} rows`;
}

/** Opens a study in the viewer and waits until it asks for nothing more and shows something. */
function viewer(study, more, idle = true) {
  return async page => {
    await page.goto(`${base}/viewer/viewer?StudyInstanceUIDs=${study}`);
    await page.waitForSelector('[data-cy="viewport-pane"], .viewport-pane, canvas, object, video', { timeout: WAIT });
    if (more) await more(page);
    if (idle) await page.waitForLoadState('networkidle', { timeout: WAIT });
    const deadline = Date.now() + WAIT;
    // A software renderer on a busy machine draws long after the last byte came.
    while (Date.now() < deadline && (await drawn(await page.screenshot())).levels < DRAWN) await page.waitForTimeout(500);
    await page.waitForTimeout(1500);
  };
}

/** Values of red, and pixels that are not grey, in the part of a screenshot where the picture is: what a person sees. */
function drawn(png) {
  return judge.evaluate(async text => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${text}`)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const [x, y, w, h] = [0.35, 0.15, 0.6, 0.75].map((part, at) => Math.floor(part * (at % 2 ? image.height : image.width)));
    const { data } = context.getImageData(x, y, w, h);
    let colour = 0;
    for (let at = 0; at < data.length; at += 4) if (Math.max(data[at], data[at + 1], data[at + 2]) - Math.min(data[at], data[at + 1], data[at + 2]) > 40) colour += 1;
    return { levels: new Set(data.filter((_, at) => at % 4 === 0)).size, colour };
  }, png.toString('base64'));
}

const thumbnailClick = async page => {
  const thumbnail = page.locator('[data-cy^="study-browser-thumbnail"]').first();
  await thumbnail.waitFor({ timeout: WAIT });
  await thumbnail.dblclick();
};

/** Lays the segmentation of a CT over it. */
const overlay = async page => {
  await page.waitForSelector('canvas', { timeout: WAIT });
  const row = page.locator('[data-cy^="study-browser-thumbnail"]', { hasText: 'SEG' }).first();
  await row.waitFor({ timeout: WAIT });
  await row.dblclick();
  await page.locator('[data-cy="yes-hydrate-btn"]').click({ timeout: WAIT });
};

/** Sees that the tools of the viewer, the way back and the patient stand one beside the other. */
const apart = async page => {
  const back = page.locator('[data-cy="return-to-work-list"]');
  await back.waitFor({ state: 'attached', timeout: WAIT });
  const ends = await back.evaluate(one => [...one.parentElement.parentElement.children].map(part => part.getBoundingClientRect()).map(({ left, right }) => [left, right]));
  ends.reduce((end, [left, right]) => {
    if (left < end - 1) throw new Error(`the line of tools lies over itself: ${JSON.stringify(ends)}`);
    return right;
  }, 0);
};

/** Whether the study of a series has one of another modality too. */
const beside = modality => row => series.some(one => value(one, '0020000D') === value(row, '0020000D') && value(one, '00080060') === modality);
const of = modality => row => value(row, '00080060') === modality;
const jobs = {
  'start-desktop': [desktop, start],
  'start-desktop-en': [desktop, start],
  'start-phone': [phone, start],
  'start-timeline': [desktop, async page => {
    await start(page);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('t');
    await page.waitForSelector('.line-list, .timeline p', { timeout: WAIT });
    return 'by keyboard';
  }],
  'viewer-list': [desktop, async page => {
    await page.goto(`${base}/viewer/`);
    await page.waitForSelector('[data-cy="study-list-results"] tr, table tbody tr', { timeout: WAIT });
    await page.waitForLoadState('networkidle');
    await page.waitForTimeout(1000);
  }],
};
// The browser's own PDF page is never idle.
for (const [name, test, more, idle] of [
  ['ct', row => value(row, '00080060') === 'CT' && Number(value(row, '00201209')) >= 3],
  ['mr', row => value(row, '00080060') === 'MR' && Number(value(row, '00201209')) === 1],
  ['us', of('US')], ['dx', of('DX')], ['pdf', of('DOC'), thumbnailClick, false], ['seg-sm', row => of('SEG')(row) && beside('SM')(row)],
  ['seg-ct', row => of('SEG')(row) && beside('CT')(row), overlay], ['ecg', of('ECG'), thumbnailClick],
  ['video', of('ES'), thumbnailClick], ['sr', of('SR'), thumbnailClick], ['mg', of('MG')], ['pt', of('PT')], ['xa', of('XA')],
]) {
  const study = studyOf(test);
  if (study) jobs[`viewer-${name}`] = [desktop, viewer(study, more, idle)];
}

if (jobs['viewer-ct']) jobs['viewer-ct-phone'] = [phone, viewer(studyOf(row => of('CT')(row) && Number(value(row, '00201209')) >= 3), apart)];

const wanted = name => only.length === 0 || only.some(one => name.includes(one));
if (process.env.LOOK_DESK && ['steward', 'share'].some(kind => only.length === 0 || only.some(one => one.includes(kind)))) {
  Object.assign(jobs, await desk(process.env.LOOK_DESK, process.env.LOOK_HL7));
}
let failures = 0;
for (const [name, [size, work, more]] of Object.entries(jobs)) {
  if (wanted(name)) failures += await page(size, work, name, more);
}
await browser.close();
console.log(`${failures} faults in all, ${studies.length} studies`);
process.exit(failures === 0 ? 0 : 1);
