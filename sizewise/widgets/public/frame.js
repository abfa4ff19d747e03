// A conversation in memory: sends a message, shows the answer as it comes, always as text; keeps nothing.
(() => {
  const { widget } = document.body.dataset;
  let { token } = document.body.dataset;
  const [log, said, form, words, send, close] = ['log', 'said', 'form', 'words', 'send', 'close'].map((id) =>
    document.getElementById(id),
  );
  // An odd number of messages begins with one of the visitor's; the server takes at most 100.
  const MOST = 99;
  const messages = [];
  let stop = null;
  let ended = false;

  const line = (kind, text) => {
    const made = document.createElement('p');
    made.className = kind;
    made.textContent = text;
    log.append(made);
    log.scrollTop = log.scrollHeight;
    return made;
  };
  const shut = () => {
    parent.postMessage('sizewise:close', '*');
    if (ended) parent.postMessage('sizewise:ended', '*');
  };

  async function* events(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const each of lines)
        if (each.startsWith('data: ') && each !== 'data: [DONE]') yield JSON.parse(each.slice(6));
    }
  }

  async function ask() {
    stop = new AbortController();
    send.textContent = 'Stop';
    const shown = line('from', '…');
    let text = '';
    let spoken = 0;
    try {
      // A simple request, so that the browser asks for no permission first; the token is in the body.
      const answer = await fetch(`/embed/${widget}/messages`, {
        method: 'POST',
        credentials: 'omit',
        body: JSON.stringify({ token, messages: messages.slice(-MOST) }),
        signal: stop.signal,
      });
      token = answer.headers.get('x-sizewise-widget-token') ?? token;
      if (!answer.ok) {
        ended ||= answer.status === 401;
        const { error } = await answer.json();
        throw new Error([error.message, error.hint].filter(Boolean).join('; '));
      }
      for await (const event of events(answer)) {
        if (event.error) throw new Error(event.error.message);
        text += event.choices?.[0]?.delta?.content ?? '';
        shown.textContent = text || '…';
        log.scrollTop = log.scrollHeight;
        const whole = text.slice(spoken).match(/^[\s\S]*[.!?\n]/);
        if (whole) {
          said.textContent = whole[0];
          spoken += whole[0].length;
        }
      }
      said.textContent = text.slice(spoken) || said.textContent;
    } catch (wrong) {
      if (!stop.signal.aborted) line('bad', `${wrong.message}.`);
    }
    if (!text) shown.remove();
    messages.push({ role: 'assistant', content: text || '…' });
    stop = null;
    send.textContent = 'Send';
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (stop) return stop.abort();
    const text = words.value.trim();
    if (!text) return;
    words.value = '';
    line('own', text);
    messages.push({ role: 'user', content: text });
    void ask();
  });
  words.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && !stop) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  addEventListener('keydown', (event) => {
    if (event.key === 'Escape') shut();
  });
  close.addEventListener('click', shut);
  if (parent === window) close.hidden = true;
  words.focus();
})();
