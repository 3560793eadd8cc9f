"""A compact JWS goes onto the wire as it is."""

import schemathesis

schemathesis.serializer.alias("application/jose", "text/plain")
