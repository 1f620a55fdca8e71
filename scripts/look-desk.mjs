// The pages that need more than images to be looked at: the steward's, and those of patients' links. Fills an archive of
// its own as a hospital's system, its modalities and its desk do, and says what to do on each page:
//   const jobs = await desk(BASE_URL, HL7_ADDRESS)
//
// Two facilities, 56001 and 56002, and the tokens that scripts/look writes: operator (of everything) and desk (of both).
import { connect } from 'node:net';

const WAIT = 60000;
const BORN = '05/03/1978';
const phone = { width: 390, height: 844 };
const desktop = { width: 1280, height: 800 };

/* ---- objects ---- */

const uid = number => `1.2.826.0.1.3680043.10.1.56001.${number}`;

/** One element in Explicit VR Little Endian. */
function element(tag, vr, value) {
  let bytes = Buffer.isBuffer(value) ? value : Buffer.from(String(value), 'utf8');
  if (bytes.length % 2) bytes = Buffer.concat([bytes, Buffer.from(vr === 'UI' ? '\0' : ' ')]);
  const long = vr === 'OB' || vr === 'OW';
  const head = Buffer.alloc(long ? 12 : 8);
  head.writeUInt16LE(tag >>> 16, 0);
  head.writeUInt16LE(tag & 0xffff, 2);
  head.write(vr, 4, 'latin1');
  if (long) head.writeUInt32LE(bytes.length, 8);
  else head.writeUInt16LE(bytes.length, 6);
  return Buffer.concat([head, bytes]);
}

const short = number => Buffer.from([number & 255, number >> 8]);

/** Something round with something in it, told from another by a number. */
function pixels(size, seed) {
  const bytes = Buffer.alloc(size * size);
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const [u, v] = [(x - size / 2) / size, (y - size / 2) / size];
      const body = u * u * 1.3 + v * v * 2 < 0.16;
      const inside = (u - 0.16) ** 2 + v * v < 0.014 + seed * 0.002 || (u + 0.16) ** 2 + v * v < 0.02;
      bytes[y * size + x] = !body ? 8 : inside ? 40 + Math.round(60 * Math.abs(u)) : 150 + Math.round(60 * Math.sin(18 * u * v + seed));
    }
  }
  return bytes;
}

/** An image, as a modality makes it. */
function image({ study, series = 1, instance = 1, mrn, name, sex, birth, accession = '', about, seriesAbout = 'Axial', modality = 'CT' }) {
  const [kind, size] = ['1.2.840.10008.5.1.4.1.1.7', 256];
  const sop = uid(`${study}.${series}.${instance}`);
  const file = [[0x00020001, 'OB', Buffer.from([0, 1])], [0x00020002, 'UI', kind], [0x00020003, 'UI', sop], [0x00020010, 'UI', '1.2.840.10008.1.2.1'], [0x00020012, 'UI', uid(0)]];
  const data = [
    [0x00080005, 'CS', 'ISO_IR 192'], [0x00080016, 'UI', kind], [0x00080018, 'UI', sop], [0x00080020, 'DA', today], [0x00080030, 'TM', '083000'],
    [0x00080050, 'SH', accession], [0x00080060, 'CS', modality], [0x00081030, 'LO', about], [0x0008103e, 'LO', seriesAbout], [0x00100010, 'PN', name],
    [0x00100020, 'LO', mrn], [0x00100030, 'DA', birth], [0x00100040, 'CS', sex], [0x0020000d, 'UI', uid(study)], [0x0020000e, 'UI', uid(`${study}.${series}`)],
    [0x00200011, 'IS', series], [0x00200013, 'IS', instance], [0x00280002, 'US', short(1)], [0x00280004, 'CS', 'MONOCHROME2'], [0x00280010, 'US', short(size)],
    [0x00280011, 'US', short(size)], [0x00280100, 'US', short(8)], [0x00280101, 'US', short(8)], [0x00280102, 'US', short(7)], [0x00280103, 'US', short(0)],
    [0x7fe00010, 'OW', pixels(size, series + instance)],
  ];
  const write = list => Buffer.concat(list.map(([tag, vr, value]) => element(tag, vr, value)));
  const meta = write(file);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element(0x00020000, 'UL', length), meta, write(data)]);
}

const now = new Date(Date.now() + 7 * 3600 * 1000);
const today = now.toISOString().slice(0, 10).replaceAll('-', '');

/* ---- who says what ---- */

let base = '';
let hl7 = '';

async function rest(token, method, path, body, more = {}) {
  const headers = { Authorization: `Bearer ${token}`, ...(body && !more['Content-Type'] ? { 'Content-Type': 'application/json' } : {}), ...more };
  const answer = await fetch(base + path, { method, headers, body: body && !Buffer.isBuffer(body) ? JSON.stringify(body) : body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 400)}`);
  return text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text;
}

function store(...images) {
  const part = file => [Buffer.from('--look\r\nContent-Type: application/dicom\r\n\r\n'), file, Buffer.from('\r\n')];
  const body = Buffer.concat([...images.map(image).flatMap(part), Buffer.from('--look--\r\n')]);
  return rest('desk', 'POST', '/facilities/56001/dicom-web/studies', body, { 'Content-Type': 'multipart/related; type="application/dicom"; boundary=look' });
}

/** Sends a message over MLLP and waits until it is acknowledged. */
function says(control, kind, ...segments) {
  const head = `MSH|^~\\&|HIS|BV56001|KHOANH|TINH|${today}073000||${kind}|${control}|P|2.5.1||||||UNICODE UTF-8`;
  const [host, port] = hl7.split(':');
  return new Promise((done, failed) => {
    const socket = connect(Number(port), host);
    let answer = '';
    socket.on('connect', () => socket.write(`\x0b${[head, ...segments].join('\r')}\r\x1c\r`));
    socket.on('error', failed);
    socket.on('data', bytes => {
      answer += bytes;
      if (!answer.includes('\x1c')) return;
      socket.destroy();
      if (/MSA\|[AC]A\|/.test(answer)) done();
      else failed(new Error(`${kind}: ${answer}`));
    });
  });
}

const pid = (mrn, name, birth, sex) => `PID|1||${mrn}^^^BV56001^MR||${name}||${birth}|${sex}`;

/** A new order; it was to begin this morning. */
function order(placer, accession, person, procedure) {
  const obr = `OBR|1|${placer}^HIS||CT^${procedure}^99BV${'|'.repeat(14)}${accession}|RP${placer}|SP${placer}||||CT`;
  return says(`o${placer}`, 'ORM^O01^ORM_O01', pid(...person), `ORC|NW|${placer}^HIS|||SC||^^^${today}000500^^R`, obr);
}

async function until(what, list, count) {
  const end = Date.now() + WAIT;
  for (;;) {
    const found = await rest('operator', 'GET', `/api/${list}`);
    if ((found.rows || found.proposals).length >= count) return found;
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise(done => setTimeout(done, 200));
  }
}

async function fill() {
  for (const [code, name] of [['56001', 'Bệnh viện Đa khoa tỉnh'], ['56002', 'Trung tâm Y tế khu vực Vạn Ninh']]) await rest('operator', 'PUT', '/api/facilities', { code, name, kind: 'hospital' });
  const an = ['22015985', 'Nguyễn^An^Văn', '19780305', 'M'];
  const binh = ['22015986', 'Trần^Bình^Thị', '19900102', 'F'];
  const cuc = ['22015987', 'Lê^Cúc^Thị Thu', '19650911', 'F'];
  const dung = ['22015988', 'Phạm^Dũng^Văn', '1951', 'M'];
  // An order of another patient, one of a patient whose images say another sex, and orders of which no image came.
  await order('CD-1001', 'A26-1001', an, 'Chụp CT lồng ngực');
  await order('CD-1002', 'A26-1002', binh, 'Chụp CT sọ não không tiêm thuốc cản quang');
  await order('CD-1003', 'A26-1003', cuc, 'Chụp CT ổ bụng');
  await order('CD-1004', 'A26-1004', dung, 'Chụp CT cột sống thắt lưng');
  await order('CD-1005', 'A26-1005', binh, 'Chụp CT xoang');
  const of = ([mrn, name, birth, sex]) => ({ mrn, name, birth: birth.length === 8 ? birth : '', sex });
  const chest = { study: 1, ...of(an), accession: 'A26-1001', about: 'CT ngực' };
  await store(chest, { ...chest, instance: 2 }, { ...chest, series: 2, seriesAbout: 'Cửa sổ phổi, lát cắt 1,25 mm' }, { ...chest, series: 3, seriesAbout: 'Coronal' });
  await store({ study: 2, ...of(an), accession: 'A26-1002', about: 'CT sọ não' });
  await store({ study: 3, ...of(cuc), sex: 'M', accession: 'A26-1003', about: 'CT bụng' });
  await store({ study: 4, ...of(dung), accession: 'X-9', about: 'CT thắt lưng' });
  await store({ study: 5, ...of(binh), accession: 'A26-1005', about: 'CT xoang' });
  // Records of two facilities that look alike, and one number of two people.
  const alike = { name: 'Hoàng Minh Đức', birth: '1983-12-30', sex: 'M', phones: '0905 000 001', address: '12 Lê Lợi, Nha Trang' };
  await rest('operator', 'PUT', '/api/patients/22015990?facility=56001', alike);
  await rest('operator', 'PUT', '/api/patients/HS-77?facility=56002', { ...alike, name: 'HOANG MINH DUC', address: 'Vạn Giã' });
  await rest('operator', 'PUT', '/api/patients/22015991?facility=56001', { name: 'Võ Thị Hạnh', birth: '1959', sex: 'F', national: '056159000001' });
  await rest('operator', 'PUT', '/api/patients/HS-78?facility=56002', { name: 'Đặng Quốc Bảo', birth: '1992', sex: 'M', national: '056159000001' });
  await until('studies are quarantined', 'matches?list=mismatch', 2);
  await until('one has no order', 'matches?list=unmatched', 1);
  await until('orders wait', 'matches?list=orders', 1);
  await until('a proposal', 'persons/proposals?state=open', 1);
  await until('a conflict', 'persons/proposals?state=conflict', 1);
  await until('one is matched', 'matches?list=matched', 2);
  await rest('operator', 'POST', `/api/matches/${uid(5)}/unmatch?facility=56001`);
}

const issue = more => rest('desk', 'POST', '/api/shares', { facility: '56001', studies: [uid(1)], ...more });

/* ---- pages ---- */

/** Signs in as a steward, and opens a list. */
function steward(list, more) {
  return async page => {
    await page.goto(`${base}/steward`);
    await page.waitForSelector('#token', { state: 'visible', timeout: WAIT });
    await page.keyboard.type('operator');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.pair', { timeout: WAIT });
    if (list !== 'mismatch') {
      await page.locator(`[data-list=${list}]`).focus();
      await page.keyboard.press('Enter');
      await page.waitForSelector(`[data-list=${list}][aria-pressed=true]`);
    }
    await page.waitForLoadState('networkidle');
    await page.waitForSelector('.pair', { timeout: WAIT });
    const words = await page.evaluate(() => {
      const [vi, en] = [WORDS.vi, WORDS.en].map(words => Object.keys(words).sort().join());
      const unknown = [...document.querySelectorAll('[data-word]')].filter(one => typeof WORDS.vi[one.dataset.word] !== 'string');
      return { same: vi === en, unknown: unknown.map(one => one.dataset.word), told: document.querySelector('#list').innerText };
    });
    if (!words.same || words.unknown.length) throw new Error(`words are missing in one language: ${words.unknown}`);
    if (/\b(another|by Accession|the same|undefined|null)\b/.test(words.told) && (await page.getAttribute('html', 'lang')) === 'vi') throw new Error(`not in Vietnamese: ${words.told}`);
    if (more) await more(page);
    return `${await page.locator('.pair').count()} rows`;
  };
}

/** Decides without a mouse, and takes it back. */
async function byKeyboard(page) {
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('ArrowDown');
  const row = page.locator('.pair').first();
  if (!(await row.evaluate(one => one === document.activeElement))) throw new Error('no row is reached by keyboard');
  const said = await row.innerText();
  await page.keyboard.press('u');
  await page.waitForFunction(() => document.querySelector('.pair [data-act=undo]:not([hidden])'), null, { timeout: WAIT });
  await page.keyboard.press('z');
  await page.waitForFunction(() => !document.querySelector('.pair [data-act=undo]:not([hidden])'), null, { timeout: WAIT });
  if ((await page.locator('.pair').first().innerText()) !== said) throw new Error('undone, the row says something else');
  let steps = 0;
  while (steps < 60 && !(await page.evaluate(() => document.activeElement.closest('.other summary') !== null))) {
    await page.keyboard.press('Tab');
    steps += 1;
  }
  if (steps === 60) throw new Error('what is rarer is not reached by keyboard');
  await page.keyboard.press('Enter');
}

/** Decides of two records that they are one person, and takes it back. */
async function onePerson(page) {
  await page.locator('.pair [data-act=match]').first().focus();
  await page.keyboard.press('Enter');
  await page.waitForSelector('.pair [data-act=undo]:not([hidden])', { timeout: WAIT });
  await page.locator('.pair [data-act=undo]').first().click();
  await page.waitForSelector('.pair [data-act=match]:not([hidden])', { timeout: WAIT });
}

const path = link => new URL(link.link).pathname;

/** Types birth date and code into the form of a link, by keyboard alone. */
async function typed(page, link, code) {
  await page.goto(base + path(link));
  await page.keyboard.press('Tab');
  await page.keyboard.type(BORN);
  await page.keyboard.press('Tab');
  await page.keyboard.type(code);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
}

const other = code => (code === '000000' ? '000001' : '000000');

/** Opens a link, and waits for its pictures. */
async function opened(page, link) {
  await typed(page, link, link.code);
  if (new URL(page.url()).pathname !== '/share') throw new Error(`the address is ${page.url()}`);
  await page.waitForSelector('.pictures img');
  await page.waitForFunction(() => [...document.images].every(one => one.complete && one.naturalWidth > 0), null, { timeout: WAIT });
  return `${await page.locator('.pictures img').count()} pictures`;
}

/** What to do on each page: size, work, and what else is to be known. */
export async function desk(address, messages) {
  [base, hl7] = [address, messages];
  await fill();
  const [link, files, taken] = [await issue({}), await issue({ download: true }), await issue({})];
  await rest('desk', 'DELETE', `/api/shares/${taken.id}?facility=56001`);
  const sheets = await rest('desk', 'POST', '/api/shares', { facility: '56001', studies: [uid(1)] }, { Accept: 'text/html' });
  const own = { own: true };
  // Before anybody has signed in the page asks who it is.
  const asks = { own: true, status: 401 };
  return {
    'steward-enter': [desktop, async page => {
      await page.goto(`${base}/steward`);
      await page.waitForSelector('#token', { state: 'visible', timeout: WAIT });
      await page.keyboard.type('nobody');
      await page.keyboard.press('Enter');
      await page.waitForFunction(() => document.querySelector('#enterWrong').textContent !== '', null, { timeout: WAIT });
    }, asks],
    'steward-desktop': [desktop, steward('mismatch', byKeyboard), asks],
    'steward-desktop-en': [desktop, steward('mismatch'), asks],
    'steward-phone': [phone, steward('mismatch'), asks],
    'steward-unmatched': [desktop, steward('unmatched'), asks],
    'steward-unmatched-phone': [phone, steward('unmatched'), asks],
    'steward-orders': [desktop, steward('orders'), asks],
    'steward-decided': [desktop, steward('decided'), asks],
    'steward-persons': [desktop, steward('persons', onePerson), asks],
    'steward-persons-phone': [phone, steward('persons'), asks],
    'steward-conflict': [desktop, steward('conflict'), asks],
    'share-form-phone': [phone, async page => { await page.goto(base + path(link)); }, own],
    'share-form-desktop': [desktop, async page => { await page.goto(base + path(link)); }, own],
    'share-wrong-phone': [phone, page => typed(page, link, other(link.code)), { own: true, status: 403 }],
    'share-taken-back-phone': [phone, page => typed(page, taken, taken.code), { own: true, status: 410 }],
    'share-open-phone': [phone, page => opened(page, link), own],
    'share-open-desktop': [desktop, page => opened(page, files), own],
    'share-picture-phone': [phone, async page => {
      await opened(page, link);
      await page.locator('.pictures a').first().click();
      await page.waitForFunction(() => document.images.length === 1 && document.images[0].naturalWidth > 0, null, { timeout: WAIT });
    }],
    'share-closed-phone': [phone, async page => {
      await opened(page, link);
      await page.locator('form button').click();
      await page.waitForLoadState('networkidle');
      await page.goto(`${base}/share`);
    }, own],
    'share-viewer-phone': [phone, async page => {
      await opened(page, link);
      await page.locator('.actions .main').click();
      await page.waitForSelector('canvas', { timeout: WAIT });
      await page.waitForLoadState('networkidle', { timeout: WAIT });
      await page.waitForTimeout(1500);
    }],
    'share-sheets': [{ width: 800, height: 1130 }, async page => {
      await page.emulateMedia({ media: 'print' });
      await page.setContent(sheets);
    }, own],
  };
}
