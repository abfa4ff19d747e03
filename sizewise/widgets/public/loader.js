// Draws a button; its first click opens the frame. Reads nothing of the page, stores nothing, asks for nothing before.
(() => {
  const { id, host, title } = /*WIDGET*/ {};
  const style = (node, rules) => Object.assign(node.style, rules);
  let frame;
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = title;
  button.setAttribute('aria-expanded', 'false');
  style(button, {
    position: 'fixed', right: '20px', bottom: 'calc(20px + env(safe-area-inset-bottom))', zIndex: 2147483000,
    padding: '12px 18px', border: '0', borderRadius: '24px', background: '#2451c4', color: '#fff',
    font: '600 15px/1.2 system-ui, sans-serif', cursor: 'pointer', boxShadow: '0 6px 24px rgb(0 0 0 / 0.25)',
  });
  const show = (open) => {
    if (!frame) {
      frame = document.createElement('iframe');
      frame.src = `${host}/embed/${id}`;
      frame.title = title;
      document.body.append(frame);
    }
    const small = innerWidth < 480;
    style(frame, {
      position: 'fixed', zIndex: 2147483001, border: '0', background: 'Canvas', colorScheme: 'inherit',
      display: open ? 'block' : 'none', right: small ? '0' : '20px', bottom: small ? '0' : '20px',
      width: small ? '100%' : '400px', height: small ? '100%' : 'min(600px, calc(100% - 40px))',
      borderRadius: small ? '0' : '14px', boxShadow: '0 12px 48px rgb(0 0 0 / 0.3)',
    });
    button.setAttribute('aria-expanded', String(open));
    (open ? frame : button).focus();
  };
  button.addEventListener('click', () => show(true));
  addEventListener('message', (event) => {
    if (!frame || event.source !== frame.contentWindow) return;
    if (event.data === 'sizewise:close') show(false);
    if (event.data === 'sizewise:ended') {
      frame.remove();
      frame = undefined;
    }
  });
  const draw = () => document.body.append(button);
  if (document.body) draw();
  else addEventListener('DOMContentLoaded', draw);
})();
