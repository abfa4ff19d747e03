// Starts the studio, and what its address needs.
import './kit/tokens.css';
import './kit/base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { session } from './api/session.svelte';
import { showTurning } from './kit/turning';
import { find } from './routes';

const place = document.getElementById('studio');
if (place) {
  showTurning(place);
  void session.load();
  // Its code comes while the session does. App says so where it does not come.
  find(location.pathname)
    ?.route.load()
    .catch(() => undefined);
  mount(App, { target: place });
}
