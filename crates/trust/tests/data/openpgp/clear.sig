-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

{"critical":{"identity":{"docker-reference":"example.com/app:1"},"image":{"docker-manifest-digest":"sha256:bafebd36189ad3688b7b3915ea55d461e0bfcfbdde11e54b0a123999fb6be50f"},"type":"atomic container signature"},"optional":{"creator":"atomic 1","timestamp":1777593600}}
-----BEGIN PGP SIGNATURE-----

iIoEARYIADIWIQQMzA9HqPMm65jckQnCNBav5fOCZQUCafPtABQcZWQyNTUxOUBl
eGFtcGxlLmNvbQAKCRDCNBav5fOCZTWWAP9H73QvNue31v98oNAk9akOas/UIPUn
9gW6Zo1BFobyvAEAidGZl1CVHgM1c4PgLUVh31Qei7pBYDfNqhLPQJSjkQI=
=Ycvc
-----END PGP SIGNATURE-----
