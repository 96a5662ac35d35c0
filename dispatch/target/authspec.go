package target

import "headgate/config/secret"

// AuthSpec is the mapping form of auth: exactly one of its keys.
type AuthSpec struct {
	Bearer  *secret.Ref  `yaml:"bearer" jsonschema_description:"Token sent as Authorization: Bearer."`
	Basic   *BasicAuth   `yaml:"basic" jsonschema_description:"User and password sent as Authorization: Basic."`
	Header  *NamedAuth   `yaml:"header" jsonschema_description:"Key sent in a header of its own."`
	Query   *NamedAuth   `yaml:"query" jsonschema_description:"Key sent in the query of the URL."`
	Body    *BodyAuth    `yaml:"body" jsonschema_description:"Key sent as a field of the JSON object that the body is, for backends that take it nowhere else. It is added when the call is sent."`
	HMAC    *HMACAuth    `yaml:"hmac" jsonschema_description:"HMAC of the body, byte for byte as it is sent, in a header; a call without a body signs nothing but the empty text."`
	Webhook *WebhookAuth `yaml:"webhook" jsonschema_description:"Signature of the Standard Webhooks specification, v1: webhook-id (the idempotency key), webhook-timestamp and webhook-signature."`
	OAuth2  *OAuth2Auth  `yaml:"oauth2" jsonschema_description:"Access token of OAuth 2.0. The worker fetches it when it is needed; all workers share it, encrypted, until it is about to expire, the backend answers 401 or a rule of on_error says refresh_auth."`
	SigV4   *SigV4Auth   `yaml:"aws_sigv4" jsonschema_description:"AWS Signature Version 4 over the method, the URL, the headers and the body, for S3 and what speaks like it."`
}

// BasicAuth is a user with a password kept elsewhere.
type BasicAuth struct {
	User     string     `yaml:"user,required" jsonschema:"required" jsonschema_description:"User name; some backends compose it, such as Company\\user."`
	Password secret.Ref `yaml:"password,required" jsonschema:"required" jsonschema_description:"Where the password is kept."`
}

// NamedAuth is a secret sent under a name.
type NamedAuth struct {
	Name  string     `yaml:"name,required" jsonschema:"required" jsonschema_description:"Name of the header or query parameter."`
	Value secret.Ref `yaml:"value,required" jsonschema:"required" jsonschema_description:"Where the secret is kept."`
}

// BodyAuth is a secret sent in the body.
type BodyAuth struct {
	Field string     `yaml:"field,required" jsonschema:"required" jsonschema_description:"Name of the field. A record that has it itself is rejected."`
	Value secret.Ref `yaml:"value,required" jsonschema:"required" jsonschema_description:"Where the secret is kept."`
}

// HMACAuth signs the body with a shared secret.
type HMACAuth struct {
	Header    string     `yaml:"header,required" jsonschema:"required" jsonschema_description:"Name of the header that carries the signature, such as X-Signature."`
	Secret    secret.Ref `yaml:"secret,required" jsonschema:"required" jsonschema_description:"Where the key is kept; its bytes are taken as they are."`
	Algorithm string     `yaml:"algorithm" jsonschema:"enum=sha256,enum=sha512" jsonschema_description:"Hash function. Default sha256."`
	Encoding  string     `yaml:"encoding" jsonschema:"enum=hex,enum=base64" jsonschema_description:"How the signature is written: hex in lower case, or base64 with padding. Default hex."`
	Prefix    string     `yaml:"prefix" jsonschema_description:"Text before the signature, such as sha256=. Default: no text."`
}

// WebhookAuth signs the body as the Standard Webhooks specification has it.
type WebhookAuth struct {
	Secret secret.Ref `yaml:"secret,required" jsonschema:"required" jsonschema_description:"Where the key is kept: base64, with or without whsec_ before it."`
}

// OAuth2Auth is how an access token is got: RFC 6749, sections 4.4 and 6, and RFC 7523.
type OAuth2Auth struct {
	Grant        string            `yaml:"grant" jsonschema:"enum=client_credentials,enum=refresh_token,enum=jwt_bearer" jsonschema_description:"What the token is asked for with: client_credentials (the client's secret), refresh_token (one that a person gave the client), jwt_bearer (an assertion signed with private_key). Default client_credentials."`
	TokenURL     string            `yaml:"token_url,required" jsonschema:"required" jsonschema_description:"Where tokens are asked for: an absolute http or https URL, without query. Redirects are not followed."`
	ClientID     string            `yaml:"client_id,required" jsonschema:"required" jsonschema_description:"Name of the client; of jwt_bearer the issuer, unless issuer names another."`
	ClientSecret secret.Ref        `yaml:"client_secret" jsonschema_description:"Where the client's secret is kept. client_credentials needs it; the others show it if it is there."`
	RefreshToken secret.Ref        `yaml:"refresh_token" jsonschema_description:"For refresh_token: where the first one is kept. When the token server answers a new one, that is kept encrypted for all workers and used from then on; should it be refused or lost, this one is tried again. Another one here begins anew."`
	PrivateKey   secret.Ref        `yaml:"private_key" jsonschema_description:"For jwt_bearer: where the key that signs is kept, as PEM: RSA (RS256) or EC P-256 (ES256)."`
	KeyID        string            `yaml:"key_id" jsonschema_description:"For jwt_bearer: kid in the header of the assertion. Default: none."`
	Issuer       string            `yaml:"issuer" jsonschema_description:"For jwt_bearer: iss of the assertion. Default client_id."`
	Subject      string            `yaml:"subject" jsonschema_description:"For jwt_bearer: sub of the assertion, the user for whom calls are made. Default: the issuer."`
	Audience     string            `yaml:"audience" jsonschema_description:"For jwt_bearer: aud of the assertion. Default token_url."`
	Claims       map[string]string `yaml:"claims" jsonschema_description:"For jwt_bearer: more claims of the assertion, such as scope."`
	Scope        string            `yaml:"scope" jsonschema_description:"Scopes that are asked for, separated by spaces. Default: the token server's own."`
	Params       map[string]string `yaml:"params" jsonschema_description:"More parameters of the request for a token, such as audience."`
	Send         string            `yaml:"send" jsonschema:"enum=basic,enum=body,enum=query" jsonschema_description:"How the client shows its secret to the token server: as Authorization: Basic, in the body, or in the query. With query all parameters are there and the token is asked for by GET. Default basic."`
	HeaderPrefix string            `yaml:"header_prefix" jsonschema_description:"What stands before the token in the Authorization header of calls, its space included. Default: Bearer and a space."`
}

// SigV4Auth signs calls as AWS has it: Signature Version 4.
type SigV4Auth struct {
	AccessKey    secret.Ref `yaml:"access_key,required" jsonschema:"required" jsonschema_description:"Where the access key ID is kept."`
	SecretKey    secret.Ref `yaml:"secret_key,required" jsonschema:"required" jsonschema_description:"Where the secret access key is kept."`
	SessionToken secret.Ref `yaml:"session_token" jsonschema_description:"Where the session token of temporary credentials is kept. Default: none."`
	Region       string     `yaml:"region,required" jsonschema:"required" jsonschema_description:"Region of the service, such as eu-central-1."`
	Service      string     `yaml:"service,required" jsonschema:"required" jsonschema_description:"Name of the service in the signature, such as s3, sqs or execute-api. s3 has a path rule of its own."`
}
