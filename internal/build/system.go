package build

import (
	"encoding/pem"
	"strings"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nonroot is the user and group that programs run as, as in the distroless images.
const nonroot = 65532

// system are the files that a static program expects to find on any machine.
func system() []entry {
	return []entry{
		text("etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"),
		text("etc/group", "root:x:0:\nnonroot:x:65532:\n"),
		text("etc/nsswitch.conf", "hosts: files dns\n"),
		text("etc/ssl/certs/ca-certificates.crt", authorities()),
		{path: "home/nonroot", mode: 0o755, owner: nonroot, dir: true},
		{path: "tmp", mode: 0o1777, dir: true},
	}
}

// authorities are the certificates of Mozilla's trusted authorities, in the order of the bundle.
func authorities() string {
	var all strings.Builder
	for root := range bundle.Roots() {
		all.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
	}
	return all.String()
}
