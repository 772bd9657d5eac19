/** TLS on every runtime: what a client writes and reads, and what it says of certificates. */

const CASES = { plain, sealed, text, stranger, name, identity, nonsense };

/** Longer than a handshake on a slow machine. */
const PATIENCE_MS = 4_000;

/** The control: no TLS. */
async function plain({ use }) {
  await use({});
}

/** TLS by the option, with the authority as text. */
async function sealed({ use, pem }) {
  await use({ tls: { ca: pem.ca } });
}

/** The connection string's own options are the core's to read. */
async function text({ use }) {
  await use({}, 'tls=true&tlsAllowInvalidCertificates=true');
}

/** An authority that nobody knows. */
async function stranger({ refused, pem }) {
  await refused({ tls: { ca: pem.other } }, 'localhost', /certificate of localhost.*not trusted/);
  // Mozilla's list does not have it either.
  await refused({ tls: true }, 'localhost', /certificate of localhost.*not trusted/);
}

/** A certificate of another host: unless that does not matter. */
async function name({ refused, use, pem }) {
  const told = /certificate of 127\.0\.0\.1 is not for that host, but for localhost/;
  await refused({ tls: { ca: pem.ca } }, '127.0.0.1', told);
  await use({ tls: { ca: pem.ca, allowInvalidHostnames: true } }, 'directConnection=true', '127.0.0.1');
}

/** A client's certificate, by which it logs in. */
async function identity({ use, pem }) {
  const tls = { ca: pem.ca, certificateKey: pem.client };
  await use({ tls }, 'authMechanism=MONGODB-X509', 'localhost', async (client) => {
    const { authInfo } = await client.db('admin').runCommand({ connectionStatus: 1 });
    const [{ user, db }] = authInfo.authenticatedUsers;
    if (db !== '$external' || user !== 'CN=client,OU=client,O=Portolan') throw new Error(`as ${user}`);
  });
}

/** What is no certificate is refused at once. */
async function nonsense({ open }) {
  for (const tls of [{ ca: 'no PEM' }, { certificateKey: 'no PEM' }]) {
    const error = await failure(open({ tls }, 'localhost', ''));
    if (error.kind !== 'options' || !/PEM/.test(error.message)) throw error;
  }
  const error = await failure(open({}, 'localhost', 'tlsCAFile=ca.pem'));
  if (error.kind !== 'options' || !/given as text/.test(error.message)) throw error;
}

function failure(promise) {
  return promise.then(
    () => {
      throw new Error('it succeeded');
    },
    (error) => error,
  );
}

/** Runs one case; `{ ok, note }`, with the error as note. */
export async function run(which, portolan, given) {
  try {
    await CASES[which](prepare(portolan, given));
    return { ok: true, note: '' };
  } catch (error) {
    return { ok: false, note: `${error?.name}: ${error?.message ?? error}\n${error?.stack ?? ''}` };
  }
}

function prepare(portolan, { port, pem, marker, bridge, tlsWasm, isOnDemand }) {
  const monitoring = isOnDemand ? 'onDemand' : 'background';
  const open = (more, host, options) =>
    portolan.connect({
      uri: `mongodb://${host}:${port}/?${options}`,
      monitoring,
      ...(bridge && { bridge }),
      ...(tlsWasm && { tlsWasm }),
      ...more,
    });
  const use = async (more, options = '', host = 'localhost', then = () => undefined) => {
    const client = await open(more, host, options);
    try {
      const notes = client.db('tls').collection('notes');
      const filler = 'x'.repeat(300_000);
      const { insertedId } = await notes.insertOne({ marker, filler });
      const found = await notes.findOne({ _id: insertedId });
      if (found.marker !== marker || found.filler !== filler) throw new Error('it is not as it was');
      await then(client);
    } finally {
      await client.close();
    }
  };
  const refused = async (more, host, told) => {
    const options = `serverSelectionTimeoutMS=${PATIENCE_MS}&directConnection=true`;
    const client = await open(more, host, options);
    try {
      const error = await failure(client.ping('nearest'));
      if (error.name !== 'SelectionError') throw error;
      const [{ explanation }] = error.reasons;
      if (!told.test(explanation)) throw new Error(`not said: ${told}: ${explanation}`);
    } finally {
      await client.close();
    }
  };
  return { pem, open, use, refused };
}
