// The study list: asks QIDO-RS, shows rows, opens the viewer. No library, no build.
'use strict';

const PAGE = 25;
const MODALITIES = ['CT', 'MR', 'DX', 'CR', 'US', 'MG', 'XA', 'RF', 'NM', 'PT', 'ES', 'OT', 'SR', 'ECG', 'OCT', 'OP', 'SM'];
const by = id => document.getElementById(id);
const state = { language: 'vi', offset: 0, ask: null, run: 0, session: null };

/* ---- words ---- */

function word(key) {
  return WORDS[state.language][key];
}

function speak(language) {
  state.language = language;
  document.documentElement.lang = language;
  try { localStorage.setItem('language', language); localStorage.setItem('i18nextLng', language === 'vi' ? 'vi' : 'en-US'); } catch { /* private mode */ }
  for (const element of document.querySelectorAll('[data-word]')) element.textContent = word(element.dataset.word);
  by('list').setAttribute('aria-label', word('studies'));
  const other = by('language');
  other.textContent = word('otherCode');
  other.lang = language === 'vi' ? 'en' : 'vi';
  other.setAttribute('aria-label', word('other'));
  const first = by('modality').options[0];
  if (first) first.textContent = word('anyModality');
  const all = by('facility').options[0];
  if (all) all.textContent = word('anyFacility');
}

/* ---- values of DICOM JSON ---- */

function value(row, tag) {
  const found = row[tag] && row[tag].Value && row[tag].Value[0];
  if (found && typeof found === 'object') return found.Alphabetic || found.Ideographic || '';
  return found === undefined || found === null ? '' : String(found);
}

function values(row, tag) {
  return (row[tag] && row[tag].Value) || [];
}

/** A name as it is said in Viet Nam: family, middle and given name. */
function personName(text) {
  const [family, given, middle, ...rest] = text.split('^');
  return [family, middle, given, ...rest].join(' ').replace(/\s+/g, ' ').trim();
}

function day(text) {
  const m = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(text);
  return m ? new Date(Number(m[1]), Number(m[2]) - 1, Number(m[3])) : null;
}

function shownDay(text) {
  const date = day(text);
  if (!date) return word('noDate');
  return date.toLocaleDateString(state.language === 'vi' ? 'vi-VN' : 'en-GB', { day: '2-digit', month: '2-digit', year: 'numeric' });
}

function shownTime(text) {
  const m = /^(\d{2}):?(\d{2})/.exec(text);
  return m ? `${m[1]}:${m[2]}` : '';
}

function dicomDay(date) {
  return `${date.getFullYear()}${String(date.getMonth() + 1).padStart(2, '0')}${String(date.getDate()).padStart(2, '0')}`;
}

/* ---- asking ---- */

async function get(url) {
  const answer = await fetch(url, { headers: { Accept: 'application/dicom+json, application/json' }, credentials: 'same-origin' });
  if (answer.status === 401) { enter(); throw new Error('401'); }
  if (!answer.ok) throw new Error(String(answer.status));
  return answer.status === 204 ? [] : answer.json();
}

function root() {
  const facility = by('facility').value;
  return facility ? `facilities/${encodeURIComponent(facility)}/dicom-web` : 'dicom-web';
}

function question() {
  const query = new URLSearchParams();
  for (const name of ['PatientName', 'PatientID', 'AccessionNumber']) {
    const text = by('search').elements[name].value.trim();
    if (text) query.set(name, text);
  }
  if (query.has('PatientName')) query.set('fuzzymatching', 'true');
  if (by('modality').value) query.set('ModalitiesInStudy', by('modality').value);
  const period = by('period').value;
  if (period === 'days') {
    const plain = id => by(id).value.replaceAll('-', '');
    if (plain('from') || plain('to')) query.set('StudyDate', `${plain('from')}-${plain('to')}`);
  } else if (period !== '') {
    const from = new Date();
    from.setDate(from.getDate() - Number(period));
    query.set('StudyDate', `${dicomDay(from)}-`);
  }
  query.set('includefield', '00081030,00080080,00080050,00101010');
  return query;
}

async function search(event) {
  if (event) event.preventDefault();
  const query = question();
  state.ask = { root: root(), query };
  state.offset = 0;
  by('list').replaceChildren();
  try { sessionStorage.setItem('asked', JSON.stringify(remembered())); } catch { /* private mode */ }
  await next();
}

async function next() {
  const run = ++state.run;
  const { root, query } = state.ask;
  query.set('limit', String(PAGE + 1));
  query.set('offset', String(state.offset));
  by('state').textContent = word('looking');
  by('more').hidden = true;
  try {
    const rows = await get(`${root}/studies?${query}`);
    if (run !== state.run) return;
    const more = rows.length > PAGE;
    const shown = rows.slice(0, PAGE);
    const added = shown.map(row => studyRow(row, root));
    by('list').append(...added);
    thumbnails(added, root);
    state.offset += shown.length;
    by('more').hidden = !more;
    by('state').textContent = state.offset === 0 ? word('none') : word('found')(state.offset, more);
  } catch (error) {
    if (run === state.run && error.message !== '401') by('state').textContent = word('failed');
  }
}

/* ---- rows ---- */

function studyRow(row, root) {
  const element = by('row').content.firstElementChild.cloneNode(true);
  const study = value(row, '0020000D');
  element.dataset.study = study;
  element.dataset.patient = value(row, '00100020');
  for (const one of element.querySelectorAll('[data-word]')) one.textContent = word(one.dataset.word);
  const set = (selector, text) => { element.querySelector(selector).textContent = text; };
  const modalities = values(row, '00080061').filter(Boolean);
  const name = personName(value(row, '00100010')) || word('noName');
  set('.patient', name);
  const sex = { M: word('male'), F: word('female') }[value(row, '00100040')];
  const born = value(row, '00100030');
  const about = [value(row, '00100020'), sex, day(born) ? `${word('born')} ${shownDay(born)}` : ''].filter(Boolean).join(' · ');
  set('.about', about);
  // Two lines of a long one are shown; the rest is where the pointer rests.
  element.querySelector('.person').title = `${name}\n${about}`;
  const described = value(row, '00081030');
  set('.described', described || word('noDescription'));
  if (!described) element.querySelector('.described').dataset.none = '';
  const images = value(row, '00201208');
  const series = value(row, '00201206');
  const tags = element.querySelector('.tags');
  for (const modality of modalities) tags.append(badge(modality));
  const details = [series && word('series')(series), images && word('images')(images), value(row, '00080050'), value(row, '00080080')];
  tags.append(details.filter(Boolean).join(' · '));
  const time = element.querySelector('time');
  time.textContent = [shownDay(value(row, '00080020')), shownTime(value(row, '00080030'))].filter(Boolean).join(' ');
  near(element.querySelector('.near'), value(row, '00080056') || 'ONLINE');
  const thumb = element.querySelector('.thumb');
  thumb.textContent = modalities[0] || '–';
  const open = element.querySelector('.open');
  open.href = address(study, root);
  open.setAttribute('aria-label', `${word('openStudy')}: ${name}, ${modalities.join(' ')}, ${time.textContent}`);
  element.querySelector('.save').href = `${root}/studies/${study}/media`;
  element.querySelector('.line').addEventListener('click', () => timeline(element, root));
  return element;
}

/** Pictures of all rows shown last, in one request; a row without one keeps its modality. */
async function thumbnails(rows, root) {
  if (rows.length === 0) return;
  const query = new URLSearchParams({ StudyInstanceUID: rows.map(row => row.dataset.study).join(',') });
  let found;
  try { found = await get(`${root}/thumbnails?${query}`); } catch { return; }
  for (const row of rows) {
    const bytes = found[row.dataset.study];
    if (!bytes) continue;
    const picture = new Image();
    picture.alt = '';
    picture.src = `data:image/jpeg;base64,${bytes}`;
    row.querySelector('.thumb').replaceChildren(picture);
  }
}

function badge(text) {
  const element = document.createElement('span');
  element.className = 'badge';
  element.textContent = text;
  return element;
}

function near(element, availability) {
  element.textContent = word(availability) || availability;
  element.dataset.near = availability;
  const help = { NEARLINE: 'nearHelp', OFFLINE: 'farHelp' }[availability];
  if (help) element.title = word(help);
}

function address(study, root) {
  if (state.session && state.session.viewer) return `viewer/viewer?StudyInstanceUIDs=${encodeURIComponent(study)}`;
  return `${root}/studies/${study}/metadata?accept=application/dicom%2Bjson`;
}

/* ---- the patient's studies over time ---- */

async function timeline(row, root) {
  const place = row.querySelector('.timeline');
  const button = row.querySelector('.line');
  const opening = place.hidden;
  place.hidden = !opening;
  button.setAttribute('aria-expanded', String(opening));
  if (!opening || place.childElementCount > 0) return;
  if (!row.dataset.patient) { place.textContent = word('noId'); return; }
  place.textContent = word('looking');
  const facility = ownFacility();
  if (facility) {
    try {
      place.replaceChildren(...await charts(row.dataset.patient, facility, row.dataset.study));
      return;
    } catch { /* without charts the studies alone are shown */ }
  }
  const query = new URLSearchParams({ PatientID: row.dataset.patient.replace(/[*?\\]/g, '?'), limit: '100', includefield: '00081030' });
  try {
    const found = (await get(`${root}/studies?${query}`)).filter(one => value(one, '00100020') === row.dataset.patient);
    place.replaceChildren(...drawn(found, row.dataset.study, root));
  } catch {
    place.textContent = word('failed');
  }
}

/** The one facility that rows are of: a patient's number means nothing without it. */
function ownFacility() {
  const { facilities } = state.session || { facilities: [] };
  return by('facility').value || (facilities.length === 1 ? facilities[0].code : '');
}

/** Orders, visits, results and studies under every number of a patient, the newest first, page by page. */
async function charts(mrn, facility, current) {
  const address = `api/patients/${encodeURIComponent(mrn)}/timeline`;
  const list = document.createElement('ol');
  list.className = 'line-list';
  const more = document.createElement('button');
  more.type = 'button';
  more.className = 'plain';
  more.textContent = word('more');
  let next = null;
  let year = '';
  const load = async () => {
    const query = new URLSearchParams({ facility, limit: '50' });
    if (next) query.set('cursor', next);
    const page = await get(`${address}?${query}`);
    for (const one of page.timeline) {
      const item = event(one, current);
      const its = one.at ? String(new Date(one.at).getFullYear()) : '–';
      if (its !== year) { item.dataset.year = its; year = its; }
      list.append(item);
    }
    next = page.next || null;
    more.hidden = !next;
  };
  more.addEventListener('click', () => { load().catch(() => { more.textContent = word('failed'); }); });
  await load();
  return [list, more];
}

function event(one, current) {
  const item = document.createElement('li');
  const strong = document.createElement('strong');
  const date = one.at ? new Date(one.at).toLocaleDateString(state.language === 'vi' ? 'vi-VN' : 'en-GB', { day: '2-digit', month: '2-digit', year: 'numeric' }) : word('noDate');
  if (one.kind === 'study') {
    strong.textContent = (one.modalities || []).join(' ') || '–';
    const link = document.createElement('a');
    link.href = one.viewer || `${one.retrieve}/metadata?accept=application/dicom%2Bjson`;
    link.append(strong, ` ${date} `, one.description || '');
    if (one.study === current) { link.setAttribute('aria-current', 'true'); link.append(` (${word('thisOne')})`); }
    item.append(link);
    return item;
  }
  strong.textContent = word(`of_${one.kind}`);
  const about = { order: [one.procedure, one.accession], visit: [one.number, one.location], report: [one.title, one.author] }[one.kind];
  item.append(strong, ` ${date} `, about.filter(Boolean).join(' · '));
  for (const content of one.contents || []) item.append(result(content));
  return item;
}

function result(content) {
  if (content.as === 'text') {
    const words = document.createElement('p');
    words.className = 'result';
    words.textContent = [content.heading, content.text].filter(Boolean).join(': ');
    return words;
  }
  const link = document.createElement('a');
  const pointed = /^https?:\/\//.test(content.url || '');
  if (pointed) link.href = content.url;
  link.target = '_blank';
  link.rel = 'noopener noreferrer';
  link.textContent = content.media_type === 'application/pdf' ? 'PDF' : content.media_type || content.url || '';
  return link;
}

function drawn(found, current, root) {
  const dated = found.slice().sort((a, b) => value(a, '00080020').localeCompare(value(b, '00080020')));
  if (dated.length < 2) { const only = document.createElement('p'); only.textContent = word('only'); return [only]; }
  const title = document.createElement('p');
  title.className = 'count';
  title.textContent = word('timelineOf')(dated.length);
  const list = document.createElement('ol');
  list.className = 'line-list';
  let year = '';
  for (const one of dated) {
    const item = document.createElement('li');
    const its = value(one, '00080020').slice(0, 4);
    if (its !== year) { item.dataset.year = its || '–'; year = its; }
    const link = document.createElement('a');
    link.href = address(value(one, '0020000D'), root);
    const strong = document.createElement('strong');
    strong.textContent = values(one, '00080061').filter(Boolean).join(' ') || '–';
    link.append(strong, ` ${shownDay(value(one, '00080020'))} `, value(one, '00081030'));
    if (value(one, '0020000D') === current) { link.setAttribute('aria-current', 'true'); link.append(` (${word('thisOne')})`); }
    item.append(link);
    list.append(item);
  }
  return [title, list];
}

/* ---- session ---- */

function enter() {
  by('find').hidden = true;
  by('enter').hidden = false;
  by('token').focus();
}

async function begin(event) {
  event.preventDefault();
  const token = by('token').value.trim();
  by('enterWrong').textContent = '';
  const answer = await fetch('api/session', { method: 'POST', headers: { Authorization: `Bearer ${token}` } }).catch(() => null);
  if (!answer || !answer.ok) { by('enterWrong').textContent = word('enterWrong'); return; }
  by('token').value = '';
  await start();
}

async function leave() {
  await fetch('api/session', { method: 'DELETE' });
  try { sessionStorage.clear(); } catch { /* private mode */ }
  location.reload();
}

function remembered() {
  const fields = {};
  for (const id of ['name', 'id', 'accession', 'period', 'from', 'to', 'modality', 'facility']) fields[id] = by(id).value;
  return fields;
}

function recall() {
  try {
    const fields = JSON.parse(sessionStorage.getItem('asked') || '{}');
    for (const [id, text] of Object.entries(fields)) if (by(id) && text) by(id).value = text;
  } catch { /* nothing remembered */ }
  showDays();
}

function showDays() {
  const chosen = by('period').value === 'days';
  by('daysField').hidden = !chosen;
  by('daysField2').hidden = !chosen;
}

async function start() {
  try {
    state.session = await get('api/session');
  } catch (error) {
    if (error.message !== '401') { by('find').hidden = false; by('state').textContent = word('failed'); }
    return;
  }
  by('enter').hidden = true;
  by('find').hidden = false;
  const { facilities, name, token_needed: needed } = state.session;
  by('who').hidden = !needed;
  by('who').textContent = name;
  by('leave').hidden = !needed;
  const choices = [new Option(word('anyFacility'), '')].concat(facilities.map(one => new Option(one.name, one.code)));
  by('facility').replaceChildren(...choices);
  by('facilityField').hidden = facilities.length < 2;
  recall();
  await search();
}

/* ---- keyboard ---- */

function keys(event) {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === '/' && !typing) { event.preventDefault(); by('name').focus(); by('name').select(); return; }
  if (event.key === 'Escape' && typing) { document.activeElement.blur(); return; }
  if (typing && document.activeElement.tagName === 'SELECT') return;
  const links = [...document.querySelectorAll('.study .open')];
  const row = document.activeElement.closest && document.activeElement.closest('.study');
  const at = row ? links.indexOf(row.querySelector('.open')) : -1;
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    const to = links[Math.min(links.length - 1, Math.max(0, at + (event.key === 'ArrowDown' ? 1 : -1)))];
    if (to) { event.preventDefault(); to.focus(); to.scrollIntoView({ block: 'nearest' }); }
  } else if (!typing && row && event.key.toLowerCase() === 't') {
    row.querySelector('.line').click();
  }
}

by('modality').append(new Option('', ''), ...MODALITIES.map(one => new Option(one, one)));
let kept = null;
try { kept = localStorage.getItem('language'); } catch { /* private mode */ }
speak(kept || ((navigator.languages || []).some(one => /^vi/i.test(one)) || !navigator.language ? 'vi' : 'en'));
by('language').addEventListener('click', () => { speak(state.language === 'vi' ? 'en' : 'vi'); if (state.ask) search(); });
by('search').addEventListener('submit', search);
by('search').addEventListener('reset', () => setTimeout(() => { showDays(); search(); }));
for (const id of ['period', 'modality', 'facility']) by(id).addEventListener('change', () => { showDays(); if (by(id).value !== 'days') search(); });
for (const id of ['from', 'to']) by(id).addEventListener('change', () => search());
by('more').addEventListener('click', async () => { const at = state.offset; await next(); const to = document.querySelectorAll('.study .open')[at]; if (to) to.focus(); });
by('enter').addEventListener('submit', begin);
by('leave').addEventListener('click', leave);
document.addEventListener('keydown', keys);
start();
