// The steward's page: asks /api/matches, shows both sides, sends decisions. No library, no build. The access token stays
// in this page's memory: a cookie alone may read and never change anything.
'use strict';

const by = id => document.getElementById(id);
const state = { language: 'vi', token: '', list: 'mismatch', next: null, run: 0, session: null };
/** Lists of pairs of patients, by the state that the service calls them. */
const PAIRS = { persons: 'open', conflict: 'conflict' };
const TRAITS = ['mrn', 'name', 'sex', 'birth', 'national', 'insurance', 'phones', 'address'];
const FIELDS = ['mrn', 'name', 'sex', 'birth', 'accession', 'date', 'modalities', 'about'];

function word(key) {
  return WORDS[state.language][key];
}

/** Why something stands in a list; the service says it in English. */
function reasons(row) {
  return (row.why || []).map(one => word('reasons')[one] || one).join('; ');
}

function speakIn(root) {
  for (const element of root.querySelectorAll('[data-word]')) element.textContent = word(element.dataset.word);
}

function speak(language) {
  state.language = language;
  document.documentElement.lang = language;
  document.title = word('title');
  try { localStorage.setItem('language', language); } catch { /* private mode */ }
  speakIn(document);
  const other = by('language');
  other.textContent = word('otherCode');
  other.lang = language === 'vi' ? 'en' : 'vi';
  other.setAttribute('aria-label', word('otherLanguage'));
  by('help').textContent = word('help')[state.list];
  by('lists').setAttribute('aria-label', word('title'));
}

/* ---- asking ---- */

async function ask(method, url, body) {
  const headers = { Accept: 'application/json' };
  if (state.token) headers.Authorization = `Bearer ${state.token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  const answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: 'same-origin' });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) { const error = new Error(said.detail || word('failed')); error.status = answer.status; throw error; }
  return said;
}

function path(row, act) {
  return `api/matches/${encodeURIComponent(row.study)}/${act}?facility=${encodeURIComponent(row.facility)}`;
}

async function load(more) {
  const run = ++state.run;
  const pairs = PAIRS[state.list];
  const query = new URLSearchParams(pairs ? { state: pairs, limit: '25' } : { list: state.list, limit: '25' });
  if (!pairs && by('facility').value) query.set('facility', by('facility').value);
  if (more && state.next) query.set('cursor', state.next);
  if (!more) by('list').replaceChildren();
  by('state').textContent = word('looking');
  by('more').hidden = true;
  try {
    const found = await ask('GET', `${pairs ? 'api/persons/proposals' : 'api/matches'}?${query}`);
    if (run !== state.run) return;
    by('list').append(...(pairs ? found.proposals.map(shownPair) : found.rows.map(shown)));
    state.next = found.next || null;
    by('more').hidden = !state.next;
    const count = by('list').childElementCount;
    by('state').textContent = count === 0 ? word('none') : word('found')(count);
  } catch (error) {
    if (run === state.run) by('state').textContent = error.message;
  }
}

/* ---- rows ---- */

/** A name as it is said in Viet Nam: family, middle and given name, in which order images have them otherwise. */
function personName(name) {
  const [family, given, middle, ...rest] = name.split('=')[0].split('^');
  return [family, middle, given, ...rest].filter(Boolean).join(' ').trim();
}

function facilityName(code) {
  return (state.session.facilities.find(one => one.code === code) || {}).name || code;
}

function text(side, field) {
  if (!side) return '';
  const value = field === 'about' ? side.description || side.procedure : side[field];
  if (field === 'sex') return word(value) || '';
  if (field === 'name') return personName(value || '');
  if (field === 'birth') return (value || '').replace(/^(\d{4})-(\d{2})-(\d{2})$/, '$3/$2/$1').replace(/^(\d{4})-(\d{2})$/, '$2/$1');
  if (field === 'date') return (value || '').replace(/^(\d{4})(\d{2})(\d{2})$/, '$3/$2/$1');
  return Array.isArray(value) ? value.join(' ') : String(value || '');
}

/** One line of both sides; none of what neither says. */
function beside(element, field, [one, two], differs) {
  if (!one && !two) return;
  const line = element.querySelector('tbody').insertRow();
  if (differs) line.className = 'differs';
  const head = document.createElement('th');
  head.scope = 'row';
  head.textContent = word(field);
  line.append(head);
  line.insertCell().textContent = one || '–';
  line.insertCell().textContent = two || '–';
}

/** Two patients who may be one person, or have one number and are not. */
function shownPair(row) {
  const element = by('two').content.firstElementChild.cloneNode(true);
  speakIn(element);
  element.querySelector('.reason').textContent = reasons(row);
  beside(element, 'facilityName', row.patients.map(one => facilityName(one.facility)), false);
  for (const field of TRAITS) {
    const [one, two] = row.patients.map(side => text(side, field));
    beside(element, field, [one, two], field !== 'mrn' && one && two && one !== two);
  }
  const form = element.querySelector('.decide');
  const button = act => form.querySelector(`[data-act=${act}]`);
  const judge = async (act, said, decided) => {
    try {
      await ask('POST', `api/persons/proposals/${encodeURIComponent(row.id)}/${act}?facility=${encodeURIComponent(row.facility)}`);
      for (const one of ['match', 'unmatch']) button(one).hidden = decided;
      button('undo').hidden = !decided;
      element.querySelector('.changes').textContent = said;
      element.focus();
    } catch (error) {
      element.querySelector('.changes').textContent = error.message;
    }
  };
  form.addEventListener('submit', event => { event.preventDefault(); judge('accept', word('accepted'), true); });
  button('unmatch').addEventListener('click', () => judge('refuse', word('refused'), true));
  button('undo').addEventListener('click', () => judge('undo', word('done'), false));
  element.setAttribute('aria-label', row.patients.map(side => text(side, 'name')).join(' – '));
  return element;
}

function shown(row) {
  const element = by('row').content.firstElementChild.cloneNode(true);
  speakIn(element);
  const last = row.acts && row.acts[row.acts.length - 1];
  const why = reasons(row);
  const label = last ? word('by')(word(last.act === 'leave' ? 'leaveIt' : last.act), last.by) : '';
  element.querySelector('.reason').textContent = [facilityName(row.facility), why, label].filter(Boolean).join(' · ');
  const differs = new Set(row.differs || []);
  for (const field of FIELDS) beside(element, field, [row.of_study, row.of_order].map(side => text(side, field)), differs.has(field));
  decisions(element, row);
  if (row.verdict) others(element, row);
  else element.querySelector('.other').remove();
  element.setAttribute('aria-label', `${text(row.of_study || row.of_order, 'name')} ${row.placer || row.study}`);
  return element;
}

function decisions(element, row) {
  const form = element.querySelector('.decide');
  const number = form.elements.number;
  const ofOrder = !row.verdict;
  element.querySelector('.which span').textContent = word(ofOrder ? 'study' : 'order');
  number.value = ofOrder ? '' : row.placer || '';
  for (const order of row.candidates || []) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = [order.placer, order.procedure, text(order, 'date')].filter(Boolean).join(' · ');
    button.addEventListener('click', () => { number.value = order.placer; number.focus(); });
    form.querySelector('.candidates').append(button);
  }
  const hide = (act, hidden) => { form.querySelector(`[data-act=${act}]`).hidden = hidden; };
  hide('unmatch', !row.placer || ofOrder);
  hide('leave', !row.by);
  hide('undo', !(row.acts && row.acts.length));
  const open = form.querySelector('a');
  open.hidden = !(row.of_study && row.of_study.viewer);
  if (!open.hidden) open.href = row.of_study.viewer;
  form.addEventListener('submit', event => {
    event.preventDefault();
    const told = number.value.trim();
    if (!told) { number.focus(); return; }
    const [target, placer] = ofOrder ? [{ facility: row.facility, study: told }, row.placer] : [row, told];
    act(element, () => ask('POST', path(target, 'match'), { placer }));
  });
  for (const name of ['unmatch', 'leave', 'undo']) {
    form.querySelector(`[data-act=${name}]`).addEventListener('click', () => act(element, () => ask('POST', path(row, name))));
  }
}

function others(element, row) {
  const assign = element.querySelector('.assign');
  const changes = element.querySelector('.changes');
  if (row.of_order) assign.elements.mrn.value = row.of_order.mrn;
  const tell = said => {
    const lines = (said.changed || []).map(one => `${one.attribute}: ${one.before || '–'} → ${one.after || '–'}`);
    changes.textContent = [word('done'), ...lines].join('\n');
  };
  const run = async work => {
    try { tell(await work()); } catch (error) { changes.textContent = error.message; }
  };
  const reason = () => assign.elements.reason.value.trim();
  assign.addEventListener('submit', event => {
    event.preventDefault();
    run(() => ask('POST', path(row, 'patient'), { mrn: assign.elements.mrn.value.trim(), reason: reason() }));
  });
  assign.querySelector('[data-act=unassign]').addEventListener('click', () => {
    if (!reason()) { assign.elements.reason.focus(); return; }
    run(() => ask('POST', path(row, 'patient/undo'), { reason: reason() }));
  });
  const reject = element.querySelector('.reject');
  const study = `facilities/${encodeURIComponent(row.facility)}/dicom-web/studies/${encodeURIComponent(row.study)}`;
  reject.addEventListener('submit', event => {
    event.preventDefault();
    if (!confirm(word('surely'))) return;
    run(() => ask('DELETE', `${study}?reason=${reject.elements.reject.value}`));
  });
  reject.querySelector('[data-act=restore]').addEventListener('click', () => {
    if (!reason()) { assign.elements.reason.focus(); return; }
    run(() => ask('POST', 'api/restorations', { study: { facility: row.facility, study: row.study }, reason: reason() }));
  });
}

/** Does one thing; the row then shows what holds now, so that it can be undone where it stands. */
async function act(element, work) {
  for (const button of element.querySelectorAll('button')) button.disabled = true;
  try {
    const said = await work();
    by('state').textContent = word('done');
    if (said.match) {
      const now = shown(said.match);
      element.replaceWith(now);
      now.focus();
    } else {
      element.remove();
      by('list').focus();
    }
  } catch (error) {
    by('state').textContent = error.message;
    for (const button of element.querySelectorAll('button')) button.disabled = false;
  }
}

/* ---- session, keyboard ---- */

function enter(wrong) {
  state.token = '';
  by('work').hidden = true;
  by('enter').hidden = false;
  by('enterWrong').textContent = wrong ? word('enterWrong') : '';
  by('token').focus();
}

async function start() {
  const tried = state.token !== '';
  try {
    state.session = await ask('GET', 'api/session');
  } catch {
    enter(tried);
    return;
  }
  if (state.session.token_needed && !tried) { enter(false); return; }
  if (state.session.role !== 'admin') { enter(true); return; }
  by('enter').hidden = true;
  by('work').hidden = false;
  by('who').hidden = !state.session.token_needed;
  by('who').textContent = state.session.name;
  const choices = state.session.facilities.map(one => new Option(one.name, one.code));
  by('facility').replaceChildren(new Option(word('anyFacility'), ''), ...choices);
  by('facilityField').hidden = choices.length < 2;
  await load(false);
}

function keys(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT)$/.test(document.activeElement.tagName)) return;
  const rows = [...document.querySelectorAll('.pair')];
  const row = document.activeElement.closest && document.activeElement.closest('.pair');
  const at = rows.indexOf(row);
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    const to = rows[Math.min(rows.length - 1, Math.max(0, at + (event.key === 'ArrowDown' ? 1 : -1)))];
    if (to) { event.preventDefault(); to.focus(); to.scrollIntoView({ block: 'nearest' }); }
    return;
  }
  const wanted = { m: 'match', u: 'unmatch', l: 'leave', z: 'undo' }[event.key.toLowerCase()];
  const button = wanted && row && row.querySelector(`.decide [data-act=${wanted}]`);
  if (button && !button.hidden && !button.disabled) { event.preventDefault(); button.click(); }
}

let kept = null;
try { kept = localStorage.getItem('language'); } catch { /* private mode */ }
speak(kept || ((navigator.languages || []).some(one => /^vi/i.test(one)) || !navigator.language ? 'vi' : 'en'));
by('language').addEventListener('click', () => { speak(state.language === 'vi' ? 'en' : 'vi'); if (!by('work').hidden) load(false); });
for (const button of by('lists').querySelectorAll('button')) {
  button.addEventListener('click', () => {
    state.list = button.dataset.list;
    state.next = null;
    for (const one of by('lists').querySelectorAll('button')) one.setAttribute('aria-pressed', String(one === button));
    by('help').textContent = word('help')[state.list];
    by('facilityField').hidden = state.list in PAIRS || by('facility').length < 3;
    load(false);
  });
}
by('facility').addEventListener('change', () => load(false));
by('more').addEventListener('click', () => load(true));
by('enter').addEventListener('submit', event => { event.preventDefault(); state.token = by('token').value.trim(); by('token').value = ''; start(); });
document.addEventListener('keydown', keys);
start();
