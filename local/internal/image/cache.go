package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// assemblyVersion is part of every cache key; it rises whenever the same input would make another image.
const assemblyVersion = "1"

// staleAfter is the age at which a folder of unfinished work must be a killed run's.
const staleAfter = 24 * time.Hour

// cacheDir makes the cache folder and removes what killed runs left in it.
func cacheDir(dir string) (string, error) {
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding a cache folder: %w: set HOME or name one", err)
		}
		dir = filepath.Join(user, "peyk-local")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "images"), 0o755); err != nil {
		return "", fmt.Errorf("creating the cache folder: %w", err)
	}
	for _, pattern := range []string{"work-*", "images/.fresh-*"} {
		unfinished, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", fmt.Errorf("cleaning the cache folder: %w", err)
		}
		for _, path := range unfinished {
			info, err := os.Stat(path)
			if err != nil || time.Since(info.ModTime()) < staleAfter {
				continue
			}
			if err := os.RemoveAll(path); err != nil {
				return "", fmt.Errorf("cleaning the cache folder: %w", err)
			}
		}
	}
	return dir, nil
}

// cacheKey covers all that decides over the image: the recipe, its files, and the packages' content.
func cacheKey(r *Recipe, archives []archive) (string, error) {
	recipe, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	fmt.Fprintf(digest, "%s %s\n%s\n", assemblyVersion, runtime.GOARCH, recipe)
	for _, file := range r.Files {
		content, err := sum(filepath.Join(r.dir, file.Source))
		if err != nil {
			return "", fmt.Errorf("reading the recipe's files: %w", err)
		}
		fmt.Fprintln(digest, file.Path, content)
	}
	for _, one := range archives {
		fmt.Fprintln(digest, one.name, one.sum)
	}
	if err := r.modulesKey(digest); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}

// annotationKey marks a cached image with the key of its input.
const annotationKey = "dev.peyk.image.key"

func fromCache(dir, key string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, entry := range manifest.Manifests {
		if entry.Annotations[annotationKey] == key {
			return index.Image(entry.Digest)
		}
	}
	return nil, errors.New("not in the cache")
}

// toCache keeps one image a recipe. The folder gets its name last, so a killed run leaves no half image behind.
func toCache(dir, key string, image v1.Image) error {
	fresh, err := os.MkdirTemp(filepath.Dir(dir), ".fresh-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	made, err := layout.Write(fresh, empty.Index)
	if err != nil {
		return err
	}
	if err := made.AppendImage(image, layout.WithAnnotations(map[string]string{annotationKey: key})); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}
