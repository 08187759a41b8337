// Fetches the code of a view when it is first shown; again when the network changed meanwhile.

import { pause } from "../api/watch.js";

const MOST = 4;

/** load("objects/list.js") → the module. */
export async function load(path) {
  for (let turn = 0; ; turn++) {
    try {
      // A browser remembers that an address failed: the next try has another one.
      return await import(`../${path}${turn ? `?again=${turn}` : ""}`);
    } catch (error) {
      if (turn === MOST) throw error;
      await pause(150 * 2 ** turn);
    }
  }
}
