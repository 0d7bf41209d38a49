package controlplane

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestStart(t *testing.T) {
	client, err := kubernetes.NewForConfig(Start(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Namespaces().Get(context.Background(), "kube-system", metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestFindProgramNamesTheMend(t *testing.T) {
	t.Setenv(ProgramVariable, "")
	t.Chdir("/")
	if _, err := findProgram(); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got %v, want the mend", err)
	}
}
