package lifecycle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/supervisor"
)

func writeConfig(t *testing.T, path, name string) {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters[name] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}
	c.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: "secret"}
	c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	c.CurrentContext = name
	if err := clientcmd.WriteToFile(*c, path); err != nil {
		t.Fatal(err)
	}
}

func TestMergeAndUnmerge(t *testing.T) {
	for _, theirs := range []bool{false, true} {
		dir := cluster.Dir(t.TempDir())
		path := filepath.Join(t.TempDir(), "config")
		t.Setenv("KUBECONFIG", path)
		own := supervisor.ContextName("x")
		writeConfig(t, dir.Kubeconfig(), own)
		if theirs {
			writeConfig(t, path, "work")
		}
		got, err := Merge(dir)
		if err != nil || got != path {
			t.Fatalf("merged into %q, %v, want %q", got, err, path)
		}
		config, err := clientcmd.LoadFromFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if config.CurrentContext != own || config.Clusters[own] == nil || config.AuthInfos[own] == nil || (config.Contexts["work"] != nil) != theirs {
			t.Errorf("merged: %+v", config)
		}
		if err := unmerge(dir, "x"); err != nil {
			t.Fatal(err)
		}
		config, err = clientcmd.LoadFromFile(path)
		if !theirs {
			if !errors.Is(err, os.ErrNotExist) {
				t.Errorf("an empty file is left: %+v, %v", config, err)
			}
			continue
		}
		if err != nil || config.Contexts["work"] == nil || config.Contexts[own] != nil || config.Clusters[own] != nil || config.CurrentContext != "" {
			t.Errorf("after: %+v, %v", config, err)
		}
	}
}

func TestMergeIntoItself(t *testing.T) {
	dir := cluster.Dir(t.TempDir())
	writeConfig(t, dir.Kubeconfig(), "x")
	t.Setenv("KUBECONFIG", dir.Kubeconfig())
	if _, err := Merge(dir); err == nil || !strings.Contains(err.Error(), "KUBECONFIG") {
		t.Errorf("got %v, want an error that names KUBECONFIG", err)
	}
}
