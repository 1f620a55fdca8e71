
// A patient looks at images of their own: every page of the viewer says so. On a telephone held upright the list of series
// would leave the image a strip, and the name of the viewer lie over its tools: the one is closed and the other goes.
(function () {
  const mark = document.createElement('div');
  mark.textContent = 'Dành cho người bệnh · For the patient';
  mark.setAttribute('role', 'note');
  mark.style.cssText = 'position:fixed;left:50%;bottom:.5rem;transform:translateX(-50%);z-index:2147483647;pointer-events:none;'
    + 'padding:.15rem .8rem;border-radius:1rem;font:14px/1.4 system-ui,sans-serif;color:#fff;background:rgba(0,0,0,.6);white-space:nowrap';
  const put = () => document.body.appendChild(mark);
  if (document.body) put();
  else addEventListener('DOMContentLoaded', put);
  if (innerWidth > 700) return;
  let open = true;
  new MutationObserver(() => {
    const name = document.querySelector('[data-cy="return-to-work-list"]');
    if (name) name.style.display = 'none';
    const list = open && document.querySelector('[data-cy="studyBrowser-panel"]') && document.querySelector('[data-cy="side-panel-header-left"]');
    if (!list) return;
    open = false;
    list.click();
  }).observe(document, { childList: true, subtree: true });
})();
