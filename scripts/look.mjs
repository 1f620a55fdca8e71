// Opens the start page and the viewer in headless Chromium, counts requests that fail, and takes screenshots:
//   node scripts/look.mjs BASE_URL OUT_FOLDER [NAME...]
//
// The server at BASE_URL holds the shared test data. Needs Debian's Chromium, and playwright-core from npm in the
// folder that KHOANH_NODE names (or here).
import { mkdirSync, rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRequire } from 'node:module';

const [base, out, ...only] = process.argv.slice(2);
const require = createRequire(join(process.env.KHOANH_NODE || process.cwd(), 'x.js'));
const { chromium } = require('playwright-core');
const WAIT = 60000;

mkdirSync(out, { recursive: true });
const profile = mkdtempSync(join(tmpdir(), 'khoanh-look-'));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'],
});

const studies = await (await fetch(`${base}/dicom-web/studies?limit=500&includefield=all`)).json();
const series = await (await fetch(`${base}/dicom-web/series?limit=2000&includefield=all`)).json();
const value = (row, tag) => row[tag]?.Value?.[0];

/** The study of the first series that a test accepts. */
function studyOf(test) {
  const found = series.find(test);
  return found && value(found, '0020000D');
}

async function page(size, work, name) {
  const context = await browser.newContext({ viewport: size, locale: name.endsWith('-en') ? 'en-US' : 'vi-VN', deviceScaleFactor: 1 });
  const page = await context.newPage();
  const failed = [];
  const said = [];
  page.on('requestfailed', one => { if (!/ERR_ABORTED/.test(one.failure()?.errorText || '')) failed.push(`${one.failure()?.errorText} ${one.url()}`); });
  page.on('response', one => { if (one.status() >= 400) failed.push(`${one.status()} ${one.url()}`); });
  page.on('console', one => { if (one.type() === 'error') said.push(one.text().slice(0, 300)); });
  page.on('pageerror', error => said.push(`page: ${String(error).slice(0, 300)}`));
  const started = Date.now();
  let note = '';
  try {
    note = (await work(page)) || '';
  } catch (error) {
    note = `!! ${String(error).split('\n')[0]}`;
  }
  await page.screenshot({ path: join(out, `${name}.png`) });
  console.log(`${name}: ${Date.now() - started} ms, ${failed.length} failed requests ${note}`);
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

/** Opens a study in the viewer and waits until a viewport has drawn something. */
function viewer(study, more) {
  return async page => {
    await page.goto(`${base}/viewer/viewer?StudyInstanceUIDs=${study}`);
    await page.waitForSelector('[data-cy="viewport-pane"], .viewport-pane, canvas, object, video', { timeout: WAIT });
    if (more) await more(page);
    await page.waitForLoadState('networkidle', { timeout: WAIT });
    await page.waitForTimeout(1500);
    return drawn(page);
  };
}

/** How many different grey levels the largest canvas shows: one is a blank picture. */
async function drawn(page) {
  const levels = await page.evaluate(() => {
    const canvas = [...document.querySelectorAll('canvas')].sort((a, b) => b.width * b.height - a.width * a.height)[0];
    if (!canvas || !canvas.width) return -1;
    const small = document.createElement('canvas');
    small.width = 64; small.height = 64;
    const context = small.getContext('2d');
    context.drawImage(canvas, 0, 0, 64, 64);
    return new Set(context.getImageData(0, 0, 64, 64).data.filter((_, at) => at % 4 === 0)).size;
  });
  return `${levels} levels`;
}

const thumbnailClick = async page => {
  const thumbnail = page.locator('[data-cy^="study-browser-thumbnail"]').first();
  await thumbnail.waitFor({ timeout: WAIT });
  await thumbnail.dblclick();
};

const of = modality => row => value(row, '00080060') === modality;
const byDescription = text => row => String(value(row, '0008103E') || '').includes(text);
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
for (const [name, test, more] of [
  ['ct', row => value(row, '00080060') === 'CT' && Number(value(row, '00201209')) >= 3],
  ['mr', row => value(row, '00080060') === 'MR' && Number(value(row, '00201209')) === 1],
  ['us', of('US')], ['dx', of('DX')], ['pdf', of('DOC'), thumbnailClick], ['seg', of('SEG')], ['ecg', of('ECG'), thumbnailClick],
  ['video', of('ES'), thumbnailClick], ['sr', of('SR'), thumbnailClick], ['mg', of('MG')], ['pt', of('PT')], ['xa', of('XA')],
]) {
  const study = studyOf(test);
  if (study) jobs[`viewer-${name}`] = [desktop, viewer(study, more)];
}

let failures = 0;
for (const [name, [size, work]] of Object.entries(jobs)) {
  if (only.length === 0 || only.some(one => name.includes(one))) failures += await page(size, work, name);
}
await browser.close();
rmSync(profile, { recursive: true, force: true });
console.log(`${failures} failed requests in all, ${studies.length} studies`);
process.exit(failures === 0 ? 0 : 1);
