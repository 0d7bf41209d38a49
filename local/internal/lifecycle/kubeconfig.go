package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/peyk/peyk/local/internal/cluster"
	"github.com/peyk/peyk/local/internal/supervisor"
)

// Merge puts the administrator's context of a cluster into the user's kubeconfig ($KUBECONFIG, else ~/.kube/config), makes it
// the current one, and returns that file's path. `down` takes it out again.
func Merge(dir cluster.Dir) (string, error) {
	own, err := clientcmd.LoadFromFile(dir.Kubeconfig())
	if err != nil {
		return "", fmt.Errorf("reading the cluster's kubeconfig: %w", err)
	}
	access := clientcmd.NewDefaultPathOptions()
	path := access.GetDefaultFilename()
	if path == dir.Kubeconfig() {
		return "", fmt.Errorf("$KUBECONFIG names the cluster's own file %s already: there is nothing to merge", path)
	}
	config, err := access.GetStartingConfig()
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	// Entries are written to the file that they say they come from.
	for name, c := range own.Clusters {
		c.LocationOfOrigin = path
		config.Clusters[name] = c
	}
	for name, u := range own.AuthInfos {
		u.LocationOfOrigin = path
		config.AuthInfos[name] = u
	}
	for name, c := range own.Contexts {
		c.LocationOfOrigin = path
		config.Contexts[name] = c
	}
	config.CurrentContext = own.CurrentContext
	// It is noted first: an entry too many does no harm.
	if err := noteMerged(dir, path); err != nil {
		return "", err
	}
	if err := clientcmd.ModifyConfig(access, *config, false); err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	return path, nil
}

func mergedFiles(dir cluster.Dir) ([]string, error) {
	data, err := os.ReadFile(dir.MergedFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the list of merged kubeconfigs: %w", err)
	}
	var files []string
	if err := json.Unmarshal(data, &files); err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir.MergedFile(), err)
	}
	return files, nil
}

func noteMerged(dir cluster.Dir, path string) error {
	files, err := mergedFiles(dir)
	if err != nil || slices.Contains(files, path) {
		return err
	}
	return cluster.WriteJSON(dir.MergedFile(), append(files, path))
}

// unmerge takes a cluster out of every kubeconfig into which it was merged. A file that holds nothing else is removed.
func unmerge(dir cluster.Dir, name string) error {
	files, err := mergedFiles(dir)
	if err != nil {
		return err
	}
	entry := supervisor.ContextName(name)
	for _, path := range files {
		config, err := clientcmd.LoadFromFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		delete(config.Clusters, entry)
		delete(config.AuthInfos, entry)
		delete(config.Contexts, entry)
		if config.CurrentContext == entry {
			config.CurrentContext = ""
		}
		if len(config.Clusters)+len(config.AuthInfos)+len(config.Contexts) == 0 {
			err = os.Remove(path)
		} else {
			err = clientcmd.WriteToFile(*config, path)
		}
		if err != nil {
			return fmt.Errorf("taking the cluster out of %s: %w", path, err)
		}
	}
	return nil
}
