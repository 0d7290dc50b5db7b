#!/usr/bin/env bash
# Preferences (DPO) for CosyVoice2's language model, with the published stages.
#
# The folders data/<part>_reject have worse readings of the same utterances as Kaldi files, with the
# names of data/<part>: for example what the reference model says when it reads the same texts.
# Stage 2 extracts the tokens of both, stage 3 packs them together. README.md has all settings.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)

source "$here/../cosyvoice_stages.sh"
pretrained_model_dir=${pretrained_model_dir:-pretrained/CosyVoice2-0.5B}
config=${config:-$here/conf/cosyvoice2.yaml}
checkpoint=${checkpoint:-$pretrained_model_dir/llm.pt}
tokenizer=${speech_tokenizer:-$pretrained_model_dir/speech_tokenizer_v2.onnx}

if due 2; then
    for part in $parts; do
        tool extract_speech_token --dir "data/${part}_reject" --num_thread "$num_threads" \
            --onnx_path "$tokenizer"
    done
fi
prepare_stages "$tokenizer" --dpo
if due 5; then
    join_lists
    train_model cosyvoice2_dpo llm --qwen_pretrain_path "$pretrained_model_dir/CosyVoice-BlankEN" \
        --checkpoint "$checkpoint" --dpo --ref_model "$checkpoint"
fi
if due 6; then
    average_model cosyvoice2_dpo llm
fi
