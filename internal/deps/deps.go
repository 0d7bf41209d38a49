// Package deps keeps modules.
package deps

import (
	_ "filippo.io/age"
	_ "github.com/ProtonMail/go-crypto/openpgp"
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/getsops/sops/v3/aes"
	_ "github.com/getsops/sops/v3/age"
	_ "github.com/getsops/sops/v3/keyservice"
	_ "github.com/getsops/sops/v3/stores/dotenv"
	_ "github.com/getsops/sops/v3/stores/ini"
	_ "github.com/getsops/sops/v3/stores/json"
	_ "github.com/getsops/sops/v3/stores/yaml"
	_ "github.com/google/cel-go/cel"
	_ "github.com/google/cel-go/ext"
	_ "github.com/hiddeco/sshsig"
	_ "github.com/homeport/dyff/pkg/dyff"
	_ "github.com/minio/minio-go/v7"
	_ "github.com/sigstore/sigstore/pkg/signature"
	_ "github.com/sigstore/sigstore/pkg/signature/payload"
	_ "go.etcd.io/bbolt"
	_ "k8s.io/apiserver/pkg/cel/library"
)
