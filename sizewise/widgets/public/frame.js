// A conversation in memory: sends a message, shows the answer as it comes and its sources, always as text; keeps nothing.
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
  let answers = 0;

  const element = (tag, kind, ...inside) => {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    made.append(...inside);
    return made;
  };
  const line = (kind, text) => {
    const made = element('p', kind, text);
    log.append(made);
    log.scrollTop = log.scrollHeight;
    return made;
  };
  const shut = () => {
    parent.postMessage('sizewise:close', '*');
    if (ended) parent.postMessage('sizewise:ended', '*');
  };

  // One source: its words open in place where there are any. Its id is what the numbers in the answer lead to.
  const source = ({ number, title, place, quotes, url }, id) => {
    const name = [element('span', 'number', `[${number}]`), ' ', element('bdi', '', title)];
    if (place) name.push(' ', element('bdi', 'place', place));
    const link = URL.canParse(url) ? element('a', '', `Open ${new URL(url).host}`) : null;
    if (link) Object.assign(link, { href: url, target: '_blank', rel: 'noopener noreferrer' });
    const words = [...quotes.map((each) => element('blockquote', '', each)), ...(link ? [link] : [])];
    if (words.length) {
      const made = element('details', '', element('summary', '', ...name), ...words);
      made.firstChild.id = id;
      return element('li', '', made);
    }
    const made = element('span', '', ...name);
    Object.assign(made, { id, tabIndex: -1 });
    return element('li', '', made);
  };
  const lead = (text, id, label) => {
    const made = element('a', '', text);
    made.href = `#${id}`;
    made.setAttribute('aria-label', label);
    made.addEventListener('click', (event) => {
      event.preventDefault();
      const at = document.getElementById(id);
      if (at.parentElement.tagName === 'DETAILS') at.parentElement.open = true;
      at.focus();
      at.parentElement.scrollIntoView({ block: 'nearest' });
    });
    return made;
  };
  // The sources under an answer, and links to them in its text: `[2]` and each number of `[1, 2]`.
  const cite = (shown, text, sources) => {
    answers += 1;
    const id = (number) => `source-${answers}-${number}`;
    const titles = new Map(sources.map((each) => [each.number, each.title]));
    const named = (number, shown) =>
      titles.has(number) ? lead(shown, id(number), `${shown} ${titles.get(number)}`) : shown;
    const parts = text.split(/(\[\d{1,2}(?:\s?,\s?\d{1,2})*\])/).flatMap((part, at) => {
      if (at % 2 === 0) return [part];
      const numbers = part.slice(1, -1).split(',').map(Number);
      if (numbers.length === 1) return [named(numbers[0], part)];
      return ['[', ...numbers.flatMap((each, place) => [place ? ', ' : '', named(each, `${each}`)]), ']'];
    });
    shown.replaceChildren(...parts);
    const list = element('ol', '', ...sources.map((each) => source(each, id(each.number))));
    const section = element('section', 'sources', element('h2', '', 'Sources'), list);
    section.setAttribute('aria-label', 'Sources');
    shown.after(section);
    log.scrollTop = log.scrollHeight;
    return sources.length === 1 ? '1 source.' : `${sources.length} sources.`;
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
    let sources = [];
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
        sources = event.sources ?? sources;
        text += event.choices?.[0]?.delta?.content ?? '';
        shown.textContent = text || '…';
        log.scrollTop = log.scrollHeight;
        const whole = text.slice(spoken).match(/^[\s\S]*[.!?\n]/);
        if (whole) {
          said.textContent = whole[0];
          spoken += whole[0].length;
        }
      }
      const last = text.slice(spoken) || said.textContent;
      said.textContent = text && sources.length ? `${last} ${cite(shown, text, sources)}` : last;
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
