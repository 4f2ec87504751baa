// A provider of OpenID Connect for the tests: the package `oidc-provider`, unmodified, with one client for each kind of token,
// and one (`bedside`) that sends people to log in. With TLS_CERTIFICATE and TLS_KEY it is reached by TLS, and unencrypted too.
// Prints its name and its unencrypted address, and answers beside the provider's own paths:
//   POST /test/rotate                         takes new keys
//   POST /test/forge {header, claims, key}    signs what no provider would: with its own key, a stranger's, or none
//   POST /test/kid                            the name of its key for ES256
//   /interaction/…                            a page to log in
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import Provider from 'oidc-provider';

const AUDIENCE = 'https://nephron.example';
const ALGORITHMS = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] };
const clients = {
  'ward-rs256': { alg: 'RS256', roles: ['physician'], amr: ['pwd', 'mfa'] },
  'ward-es256': { alg: 'ES256', roles: ['physician'], acr: 'urn:example:two-factors' },
  'ward-eddsa': { alg: 'EdDSA', roles: ['physician'], amr: ['pwd'] },
  'bound': { alg: 'ES256', roles: ['physician'], bound: true },
  'billing': { alg: 'ES256', roles: ['billing'] },
  'bedside': { alg: 'ES256', roles: ['physician'], callback: 'https://bedside.example/callback' },
};
// Invented. Who gives the one-time password too is known by two factors.
const people = { 'n.bellweather': { password: 'correct horse', otp: '492113' } };

// What is printed is for who started it, and the pipe is closed after its first line.
console.info = console.error;

let keys;
let provider;
let handle;

function rotate(issuer) {
  keys = Object.fromEntries(Object.entries(ALGORITHMS).map(([alg, [kind, options]]) => {
    const { privateKey, publicKey } = crypto.generateKeyPairSync(kind, options);
    return [alg, { privateKey, publicKey, kid: crypto.randomUUID() }];
  }));
  const jwks = Object.entries(keys).map(([alg, { privateKey, kid }]) =>
    ({ ...privateKey.export({ format: 'jwk' }), kid, alg: alg, use: 'sig' }));
  provider = new Provider(issuer, {
    jwks: { keys: jwks },
    clients: Object.keys(clients).map((id) => clients[id].callback ? {
      client_id: id, token_endpoint_auth_method: 'none', grant_types: ['authorization_code'], response_types: ['code'],
      redirect_uris: [clients[id].callback],
    } : ({
      client_id: id, client_secret: 'secret', token_endpoint_auth_method: 'client_secret_post', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      tls_client_certificate_bound_access_tokens: clients[id].bound ?? false,
    })),
    ttl: { AccessToken: 600, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
    findAccount: (ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (ctx, { uid }) => `/interaction/${uid}` },
    // Nobody is asked whether they consent: the hospital did.
    loadExistingGrant: async (ctx) => {
      const { session: { accountId }, client: { clientId } } = ctx.oidc;
      const grant = new provider.Grant({ accountId, clientId });
      grant.addOIDCScope('openid');
      await grant.save();
      return grant;
    },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      // A proxy before the provider knows the client's certificate.
      mTLS: { enabled: true, certificateBoundAccessTokens: true,
        getCertificate: (ctx) => decodeURIComponent(ctx.get('x-client-certificate')) || undefined },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => AUDIENCE,
        getResourceServerInfo: (ctx, resource, client) => ({
          scope: '', audience: resource, accessTokenTTL: 600, accessTokenFormat: 'jwt',
          jwt: { sign: { alg: clients[client.clientId].alg } },
        }),
      },
    },
    extraTokenClaims: (ctx, token) => {
      const { roles, ...client } = clients[token.clientId];
      // How a person logged in, or what is made up for a system.
      const { amr, acr } = ctx.oidc.entities.AuthorizationCode ?? client;
      return { realm: { roles }, amr, acr, tenant: 'st-marys' };
    },
  });
  provider.on('server_error', (ctx, error) => console.error(error));
  handle = provider.callback();
}

function forge({ header, claims, key }) {
  const part = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
  const signed = `${part(header)}.${part(claims)}`;
  const by = (privateKey) => crypto.sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const signature = {
    none: () => Buffer.alloc(0),
    own: () => by(keys.ES256.privateKey),
    stranger: () => by(crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
    public: () => crypto.createHmac('sha256', keys.RS256.publicKey.export({ type: 'spki', format: 'pem' })).update(signed).digest(),
  }[key]();
  return `${signed}.${signature.toString('base64url')}`;
}

async function read(request) {
  let body = '';
  for await (const chunk of request) body += chunk;
  return body;
}

async function interact(request, response) {
  const { uid } = await provider.interactionDetails(request, response);
  if (request.method === 'GET') {
    response.setHeader('content-type', 'text/html');
    return response.end(`<form method="post" action="/interaction/${uid}"><input name="account"><input name="password"><input name="otp"></form>`);
  }
  const { account, password, otp } = Object.fromEntries(new URLSearchParams(await read(request)));
  if (!people[account] || people[account].password !== password) {
    response.statusCode = 403;
    return response.end('no such person');
  }
  const two = otp === people[account].otp;
  const login = { accountId: account, amr: two ? ['pwd', 'otp', 'mfa'] : ['pwd'], acr: two ? 'urn:example:two-factors' : undefined };
  await provider.interactionFinished(request, response, { login });
}

async function answer(request, response) {
  if (request.url.startsWith('/interaction/')) {
    return interact(request, response);
  }
  if (!request.url.startsWith('/test/')) {
    return handle(request, response);
  }
  let body = await read(request);
  if (request.url === '/test/rotate') rotate(issuer);
  if (request.url === '/test/forge') body = forge(JSON.parse(body));
  if (request.url === '/test/kid') body = keys.ES256.kid;
  response.end(body);
}

const listen = (server) => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
const plain = `127.0.0.1:${await listen(http.createServer(answer))}`;
const { TLS_CERTIFICATE, TLS_KEY } = process.env;
let issuer = `http://${plain}`;
if (TLS_CERTIFICATE) {
  const [cert, key] = [TLS_CERTIFICATE, TLS_KEY].map((path) => fs.readFileSync(path));
  issuer = `https://localhost:${await listen(https.createServer({ cert, key }, answer))}`;
}
rotate(issuer);
console.log(issuer, plain);
// Whoever started it is gone.
process.stdin.on('end', () => process.exit()).resume();
