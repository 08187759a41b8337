// What moves: a sprite for each Pod that glides to where it belongs, is born at its owner, fades when it
// ends. Time goes by only while something is under way.

import { stateOf } from "../world/states.js";

const GLIDE_MS = 130; // time constant
const RING_MS = 700;
const CLOSE = 0.4; // pixels: it has arrived

export class Scene {
  constructor() {
    this.sprites = new Map();
    this.hasStarted = false;
  }

  /** Take over what the layout says; `origin(pod)` is where a newborn one comes from. */
  update(pods, places, origin, isCalm) {
    const now = performance.now();
    for (const pod of pods) {
      const place = places.get(pod.uid);
      if (!place) continue;
      const sprite = this.sprites.get(pod.uid) ?? this.#born(pod, place, origin, isCalm);
      const state = stateOf(pod);
      if (state === "ready" && sprite.state !== "ready" && this.hasStarted && !isCalm) sprite.ring = now;
      sprite.pod = pod;
      sprite.state = state;
      sprite.to = { x: place.x, y: place.y, size: place.size, alpha: state === "ending" ? 0.75 : 1 };
      sprite.isGone = false;
      if (isCalm || !this.hasStarted) Object.assign(sprite, sprite.to);
    }
    const here = new Set(pods.map((pod) => pod.uid));
    for (const [uid, sprite] of this.sprites) {
      if (here.has(uid) && places.has(uid)) continue;
      if (isCalm) { this.sprites.delete(uid); continue; }
      sprite.isGone = true;
      sprite.to = { x: sprite.x, y: sprite.y - 14, size: sprite.size * 0.3, alpha: 0 };
    }
    this.hasStarted = true;
  }

  #born(pod, place, origin, isCalm) {
    const from = (!isCalm && this.hasStarted && origin(pod)) || place;
    const sprite = { uid: pod.uid, x: from.x, y: from.y, size: this.hasStarted ? 4 : place.size, alpha: this.hasStarted ? 0 : 1, ring: 0, state: "" };
    this.sprites.set(pod.uid, sprite);
    return sprite;
  }

  /** Let `ms` go by; true while something still moves. */
  step(ms) {
    const part = 1 - Math.exp(-ms / GLIDE_MS);
    const now = performance.now();
    let isMoving = false;
    for (const [uid, sprite] of this.sprites) {
      for (const name of ["x", "y", "size", "alpha"]) {
        const left = sprite.to[name] - sprite[name];
        const isThere = Math.abs(left) < (name === "alpha" ? 0.02 : CLOSE);
        sprite[name] = isThere ? sprite.to[name] : sprite[name] + left * part;
        if (!isThere) isMoving = true;
      }
      if (sprite.isGone && sprite.alpha === 0) this.sprites.delete(uid);
      if (sprite.ring && now - sprite.ring > RING_MS) sprite.ring = 0;
      if (sprite.ring) isMoving = true;
    }
    return isMoving;
  }

  /** 0…1 of the ring that a Pod sends out when it becomes Ready. */
  static ringOf(sprite) {
    return Math.min(1, (performance.now() - sprite.ring) / RING_MS);
  }
}
