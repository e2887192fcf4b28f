# The worker, with the ledger compiled. `docker build -t seatstream .`
FROM python:3.11.13-bookworm AS build
WORKDIR /seatstream
RUN python -m venv /opt/seatstream
COPY requirements.lock ./
RUN /opt/seatstream/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN SEATSTREAM_BUILD=compiled /opt/seatstream/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11.13-slim-bookworm
COPY --from=build /opt/seatstream /opt/seatstream
ENV PATH=/opt/seatstream/bin:$PATH SEATSTREAM_DATA=/data
RUN useradd --uid 10001 --no-create-home seatstream && install -d -o seatstream /data /tokens
USER seatstream
# An empty place of our own: the packages are those that were installed, and no others.
WORKDIR /data
VOLUME /data
ENTRYPOINT ["seatstream"]
CMD ["worker"]
