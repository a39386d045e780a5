// Package crypto owns how secrets are held: sealing for the disk, one-way
// hashes of tokens, random secrets, and Text, which never prints itself. It
// must not know what the secrets are for.
package crypto
