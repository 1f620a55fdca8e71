// The page that waits: asks every few seconds how many studies there are, and goes on when there are some; and the page
// of a link whose parameters stand behind a '#', which it posts, so that no address that is sent holds them.
'use strict';

const wait = document.getElementById('wait');
const EVERY = 4000;

async function ask() {
  try {
    const answer = await fetch(wait.dataset.state, { headers: { Accept: 'application/json' }, cache: 'no-store' });
    if (answer.status === 403) return location.reload();
    if (answer.ok) {
      const { studies, withheld, open } = await answer.json();
      if (open) return location.replace(open);
      if (studies > 0 || withheld > 0) return location.reload();
    }
  } catch { /* the network is away for a moment */ }
  setTimeout(ask, EVERY);
}

if (wait) setTimeout(ask, EVERY);

const posted = document.getElementById('posted');

async function post() {
  const body = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  const headers = { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'text/html' };
  const answer = await fetch(location.pathname, { method: 'POST', body, headers, cache: 'no-store' });
  if (answer.redirected && answer.ok) return location.replace(answer.url);
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  posted.replaceChildren(...page.querySelector('main').childNodes);
}

if (posted) post();
