"""Opens the object store that the settings name; a bucket's library is loaded only if there is a bucket."""

from serving.errors import StartError
from serving.settings import Settings
from serving.store.local_objects import LocalObjects
from serving.store.objects import ObjectStore


def open_objects(settings: Settings) -> ObjectStore:
    """Open the folder or the bucket of `settings`.

    Raises
    ------
    StartError
        If the folder cannot be made, or the bucket's address or options are refused by its library.
    """
    if not settings.objects_bucket:
        try:
            return LocalObjects(settings.objects_folder, min_free_bytes=settings.min_free_bytes)
        except OSError as error:
            raise StartError(
                f"{settings.objects_folder} cannot be used ({error.strerror}): name another folder by "
                "FIRSTREAD_OBJECTS_URL."
            ) from error

    from serving.store.cloud_objects import Bucket, CloudObjects  # noqa: PLC0415 - 15 MB for a bucket alone

    bucket = Bucket(
        url=settings.objects_bucket,
        endpoint=settings.objects_endpoint,
        encryption=settings.objects_encryption,
        kms_key=settings.objects_kms_key,
        request_s=settings.objects_request_s,
        retry_s=settings.objects_retry_s,
    )
    try:
        return CloudObjects(bucket, settings.cache_folder, max_cache_bytes=settings.objects_cache_bytes)
    except ValueError as error:
        raise StartError(f"FIRSTREAD_OBJECTS_URL {settings.objects_bucket}: {error}") from error
