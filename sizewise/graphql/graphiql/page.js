// Sends GraphiQL's queries to /graphql with the entered key, kept in memory only, or with the session and its CSRF token.
'use strict';

const said = document.getElementById('said');
const who = document.getElementById('who');
const proof = {};

// What the user typed is stored as long as the tab is open, and sent nowhere.
const storage = {
  getItem: (name) => sessionStorage.getItem(name),
  setItem: (name, value) => sessionStorage.setItem(name, value),
  removeItem: (name) => sessionStorage.removeItem(name),
  clear: () => sessionStorage.clear(),
  get length() { return sessionStorage.length; },
};

// Yields one object per event of graphql-sse. A reader that stops closes the connection, which stops the model.
async function* events(response, stop) {
  let count = 0, kept = '', end = 'stopped';
  try {
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (kept + value).split('\n\n');
      kept = parts.pop();
      for (const part of parts) {
        const data = part.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
        if (part.startsWith('event: complete')) { end = 'complete'; return; }
        if (!data.trim()) continue;
        count += 1;
        said.textContent = `streaming: ${count} events`;
        yield JSON.parse(data);
      }
    }
  } finally {
    stop.abort();
    said.textContent = `${count} events, ${end}`;
  }
}

// The server streams subscriptions and answers everything else in JSON.
async function fetcher(params, options) {
  said.textContent = '';
  const stop = new AbortController();
  const response = await fetch('/graphql', {
    method: 'POST', signal: stop.signal, body: JSON.stringify(params),
    headers: { 'content-type': 'application/json', accept: 'text/event-stream, application/json', ...proof, ...(options && options.headers) },
  });
  const streams = (response.headers.get('content-type') || '').startsWith('text/event-stream');
  return streams ? events(response, stop) : response.json();
}

// Drawn again for each key or session, since the schema depends on it.
let root = null;
function draw() {
  if (root) root.unmount();
  root = ReactDOM.createRoot(document.getElementById('graphiql'));
  root.render(React.createElement(GraphiQL, {
    fetcher, storage, shouldPersistHeaders: false, defaultQuery: '{\n  me {\n    name\n    permissions\n  }\n}\n',
  }));
}

who.addEventListener('submit', (event) => {
  event.preventDefault();
  delete proof['x-sizewise-csrf'];
  proof.authorization = `Bearer ${document.getElementById('key').value.trim()}`;
  draw();
});

fetch('/auth/session').then((answer) => answer.ok ? answer.json() : null).then((session) => {
  if (session) {
    proof['x-sizewise-csrf'] = session.csrf;
    said.textContent = session.email;
  } else {
    said.textContent = 'enter a key';
  }
  draw();
});
