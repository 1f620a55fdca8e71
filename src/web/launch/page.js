// The page that waits: asks every few seconds how many studies there are, and goes on when there are some.
'use strict';

const wait = document.getElementById('wait');
const EVERY = 4000;

async function ask() {
  try {
    const answer = await fetch(wait.dataset.state, { headers: { Accept: 'application/json' }, cache: 'no-store' });
    if (answer.status === 403) return location.reload();
    if (answer.ok) {
      const { studies, open } = await answer.json();
      if (open) return location.replace(open);
      if (studies > 0) return location.reload();
    }
  } catch { /* the network is away for a moment */ }
  setTimeout(ask, EVERY);
}

if (wait) setTimeout(ask, EVERY);
