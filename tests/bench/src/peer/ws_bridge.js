// A bridge as one writes it with the npm package ws, with back-pressure both ways.
// node -e THIS LISTEN MEMBER, each HOST:PORT, in a folder where ws is installed.
const { connect } = require("node:net");
const { WebSocketServer } = require("ws");

const [listen, member] = process.argv.slice(1).map((text) => {
  const [host, port] = text.split(":");
  return { host, port: Number(port) };
});
const MOST_UNSENT = 1024 * 1024;

const server = new WebSocketServer({ ...listen, perMessageDeflate: false });
server.on("connection", (socket) => {
  const tcp = connect({ ...member, noDelay: true });
  socket.on("message", (bytes) => {
    if (!tcp.write(bytes)) socket.pause();
  });
  tcp.on("drain", () => socket.resume());
  tcp.on("data", (bytes) => {
    socket.send(bytes, () => tcp.isPaused() && tcp.resume());
    if (socket.bufferedAmount > MOST_UNSENT) tcp.pause();
  });
  socket.on("close", () => tcp.destroy());
  socket.on("error", () => tcp.destroy());
  tcp.on("close", () => socket.close());
  tcp.on("error", () => socket.terminate());
});
