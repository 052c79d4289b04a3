// A server of cards to try the plugin with. It keeps them in memory.
//
// `PUT /cards/NAME` keeps the request's body, `GET /cards/NAME` returns it, `DELETE /cards/NAME` drops it, and `GET /cards` returns the names
// as a JSON array. Arguments: the address, 127.0.0.1:8765 by default.

import { createServer } from 'node:http';

const cards = new Map();

/** Returns the body of the answer; undefined if there is nothing. */
function done(method, path, body) {
  if (method === 'GET' && path === '/cards') return JSON.stringify([...cards.keys()]);
  const name = path.startsWith('/cards/') ? path.slice('/cards/'.length) : undefined;
  if (name === undefined) return undefined;
  if (method === 'PUT') cards.set(name, body);
  const card = cards.get(name);
  if (method === 'DELETE') cards.delete(name);
  return card;
}

const server = createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  const text = done(request.method, request.url, body);
  response.writeHead(text === undefined ? 404 : 200, { connection: 'close' });
  response.end(text);
});
const [host, port] = (process.argv[2] ?? '127.0.0.1:8765').split(':');
server.listen(Number(port), host, () => console.log(`http://${host}:${server.address().port}`));
