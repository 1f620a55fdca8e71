
// A patient looks at images of their own: every page of the viewer says so.
(function () {
  const mark = document.createElement('div');
  mark.textContent = 'Dành cho người bệnh · For the patient';
  mark.setAttribute('role', 'note');
  mark.style.cssText = 'position:fixed;left:50%;bottom:.5rem;transform:translateX(-50%);z-index:2147483647;pointer-events:none;'
    + 'padding:.15rem .8rem;border-radius:1rem;font:14px/1.4 system-ui,sans-serif;color:#fff;background:rgba(0,0,0,.6);white-space:nowrap';
  const put = () => document.body.appendChild(mark);
  if (document.body) put();
  else addEventListener('DOMContentLoaded', put);
})();
