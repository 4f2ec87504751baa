// A provider of OpenID Connect for the tests: the package `oidc-provider`, unmodified, with one client for each kind of token.
// Prints its port, and answers beside the provider's own paths:
//   POST /test/rotate                         takes new keys
//   POST /test/forge {header, claims, key}    signs what no provider would: with its own key, a stranger's, or none
//   POST /test/kid                            the name of its key for ES256
import crypto from 'node:crypto';
import http from 'node:http';
import Provider from 'oidc-provider';

const AUDIENCE = 'https://nephron.example';
const ALGORITHMS = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] };
const clients = {
  'ward-rs256': { alg: 'RS256', roles: ['physician'], amr: ['pwd', 'mfa'] },
  'ward-es256': { alg: 'ES256', roles: ['physician'], acr: 'urn:example:two-factors' },
  'ward-eddsa': { alg: 'EdDSA', roles: ['physician'], amr: ['pwd'] },
  'bound': { alg: 'ES256', roles: ['physician'], bound: true },
  'billing': { alg: 'ES256', roles: ['billing'] },
};

let keys;
let handle;

function rotate(issuer) {
  keys = Object.fromEntries(Object.entries(ALGORITHMS).map(([alg, [kind, options]]) => {
    const { privateKey, publicKey } = crypto.generateKeyPairSync(kind, options);
    return [alg, { privateKey, publicKey, kid: crypto.randomUUID() }];
  }));
  const jwks = Object.entries(keys).map(([alg, { privateKey, kid }]) =>
    ({ ...privateKey.export({ format: 'jwk' }), kid, alg: alg, use: 'sig' }));
  const provider = new Provider(issuer, {
    jwks: { keys: jwks },
    clients: Object.keys(clients).map((id) => ({
      client_id: id, client_secret: 'secret', token_endpoint_auth_method: 'client_secret_post', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      tls_client_certificate_bound_access_tokens: clients[id].bound ?? false,
    })),
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
      const { roles, amr, acr } = clients[token.clientId];
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

const server = http.createServer(async (request, response) => {
  if (!request.url.startsWith('/test/')) {
    return handle(request, response);
  }
  let body = '';
  for await (const chunk of request) body += chunk;
  if (request.url === '/test/rotate') rotate(issuer);
  if (request.url === '/test/forge') body = forge(JSON.parse(body));
  if (request.url === '/test/kid') body = keys.ES256.kid;
  response.end(body);
});
let issuer;
server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  rotate(issuer);
  console.log(issuer);
});
// Whoever started it is gone.
process.stdin.on('end', () => process.exit()).resume();
