// Starts the studio; knows no page.
import './kit/tokens.css';
import './kit/base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { session } from './api/session.svelte';
import { showTurning } from './kit/turning';

const place = document.getElementById('studio');
if (place) {
  showTurning(place);
  void session.load();
  mount(App, { target: place });
}
