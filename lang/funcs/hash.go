package funcs

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"

	"github.com/google/uuid"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

var hashRows = []row{
	{Func: Func{
		Name: "base64sha256", Func: stringMap(sha256Base64.ofString), Group: GroupHash, Params: []string{"string"},
		Doc:     "Gives the SHA-256 digest of a string's UTF-8 bytes in base64.",
		Example: `base64sha256("hello")`, Result: `"LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="`,
	}},
	{Func: Func{
		Name: "base64sha512", Func: stringMap(sha512Base64.ofString), Group: GroupHash, Params: []string{"string"},
		Doc:     "Gives the SHA-512 digest of a string's UTF-8 bytes in base64.",
		Example: `base64sha512("hello")`, Result: `"m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw=="`,
	}},
	{Func: Func{
		Name: "md5", Func: stringMap(md5Hex.ofString), Group: GroupHash, Params: []string{"string"},
		Doc:     "Gives the MD5 digest of a string's UTF-8 bytes in hexadecimal.",
		Example: `md5("hello")`, Result: `"5d41402abc4b2a76b9719d911017c592"`,
	}},
	{Func: Func{
		Name: "sha1", Func: stringMap(sha1Hex.ofString), Group: GroupHash, Params: []string{"string"},
		Doc:     "Gives the SHA-1 digest of a string's UTF-8 bytes in hexadecimal.",
		Example: `sha1("hello")`, Result: `"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"`,
	}},
	{Func: Func{
		Name: "sha256", Func: stringMap(sha256Hex.ofString), Group: GroupHash, Params: []string{"string"},
		Doc:     "Gives the SHA-256 digest of a string's UTF-8 bytes in hexadecimal.",
		Example: `sha256("hello")`, Result: `"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"`,
	}},
	{Func: Func{
		Name: "sha512", Func: stringMap(sha512Hex.ofString), Group: GroupHash, Params: []string{"string"},
		Doc:     "Gives the SHA-512 digest of a string's UTF-8 bytes in hexadecimal.",
		Example: `substr(sha512("hello"), 0, 16)`, Result: `"9b71d224bd62f378"`,
	}},
	{Func: Func{
		Name: "uuidv5", Func: uuidV5Func, Group: GroupHash, Params: []string{"namespace", "name"},
		Doc:     "Derives a version 5 UUID from a namespace (dns, url, oid, x500 or a UUID) and a name.",
		Example: `uuidv5("dns", "www.example.com")`, Result: `"2ed6657d-e927-568b-95e1-2665a8aea6a2"`,
	}},
}

// digest is a hash function and the text form of its sum.
type digest struct {
	new  func() hash.Hash
	text func([]byte) string
}

var (
	md5Hex       = digest{md5.New, hex.EncodeToString}
	sha1Hex      = digest{sha1.New, hex.EncodeToString}
	sha256Hex    = digest{sha256.New, hex.EncodeToString}
	sha512Hex    = digest{sha512.New, hex.EncodeToString}
	sha256Base64 = digest{sha256.New, base64.StdEncoding.EncodeToString}
	sha512Base64 = digest{sha512.New, base64.StdEncoding.EncodeToString}
)

func (d digest) ofString(s string) string {
	h := d.new()
	_, _ = h.Write([]byte(s)) // a hash.Hash never fails
	return d.text(h.Sum(nil))
}

var uuidNamespaces = map[string]uuid.UUID{
	"dns":  uuid.NameSpaceDNS,
	"url":  uuid.NameSpaceURL,
	"oid":  uuid.NameSpaceOID,
	"x500": uuid.NameSpaceX500,
}

var uuidV5Func = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "namespace", Type: cty.String}, {Name: "name", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		namespace, ok := uuidNamespaces[args[0].AsString()]
		if !ok {
			var err error
			if namespace, err = uuid.Parse(args[0].AsString()); err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "%q is neither dns, url, oid or x500 nor a UUID", args[0].AsString())
			}
		}
		return cty.StringVal(uuid.NewSHA1(namespace, []byte(args[1].AsString())).String()), nil
	},
})
