// Hands the picture to the nodes that Svelte Flow makes; knows no page.
import { getContext, setContext } from 'svelte';
import type { Picture } from './picture.svelte';

const KEY = Symbol('picture');

export const setPicture = (picture: Picture): Picture => setContext(KEY, picture);
export const getPicture = (): Picture => getContext<Picture>(KEY);
