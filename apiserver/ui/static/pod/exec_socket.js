// An exec session: WebSocket, v5.channel.k8s.io. A message's first byte says what it is: 0 keys, 1 and 2
// what the process writes, 3 how it ended, 4 the terminal's size.

import { writeKey } from "../api/session.js";

const [STDIN, STDOUT, STDERR, STATUS, RESIZE] = [0, 1, 2, 3, 4];

export class ExecSocket {
  /** tell: { open(), output(bytes), end(text, isError) } */
  constructor(path, container, command, tell) {
    const query = new URLSearchParams([["container", container], ["stdin", "true"], ["stdout", "true"], ["tty", "true"], ...command.map((word) => ["command", word])]);
    this.socket = new WebSocket(`wss://${location.host}${path}/exec?${query}`, ["v5.channel.k8s.io", `podium.key.${writeKey()}`]);
    this.socket.binaryType = "arraybuffer";
    this.status = null;
    this.wasOpen = false;
    this.waiting = []; // typed before it was open
    this.socket.addEventListener("open", () => {
      this.wasOpen = true;
      tell.open();
      for (const message of this.waiting.splice(0)) this.socket.send(message);
    });
    this.socket.addEventListener("message", ({ data }) => this.#take(new Uint8Array(data), tell));
    this.socket.addEventListener("close", () => tell.end(...this.#ending()));
  }

  #take(message, tell) {
    const [channel, body] = [message[0], message.subarray(1)];
    if (channel === STDOUT || channel === STDERR) tell.output(body);
    if (channel === STATUS) { try { this.status = JSON.parse(new TextDecoder().decode(body)); } catch { /* it ends without words */ } }
  }

  /** [what to say, whether something went wrong] */
  #ending() {
    if (!this.wasOpen) return ["The terminal could not be opened. Does the container run, and may this session write?", true];
    if (!this.status) return ["The connection broke.", true];
    if (this.status.status === "Success") return ["The shell has ended.", false];
    const code = this.status.details?.causes?.find((cause) => cause.reason === "ExitCode")?.message;
    return [code ? `The shell has ended with ${code}.` : this.status.message, !code];
  }

  send(text) { this.#send(STDIN, new TextEncoder().encode(text)); }
  resize(columns, rows) { this.#send(RESIZE, new TextEncoder().encode(JSON.stringify({ Width: columns, Height: rows }))); }

  #send(channel, body) {
    const message = new Uint8Array(body.length + 1);
    message[0] = channel;
    message.set(body, 1);
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
    else if (this.socket.readyState === WebSocket.CONNECTING) this.waiting.push(message);
  }

  close() { this.socket.close(); }
}
